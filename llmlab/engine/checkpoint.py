"""Reads the weights of a checked folder into the architecture, or says in words why that is not possible."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from llmlab.engine import four_bits
from llmlab.engine.architecture import auto_class
from llmlab.engine.devices import CPU, DTYPES, free_memory, is_out_of_memory, release_memory, trim_heap
from llmlab.engine.errors import Cancelled, DeviceError, EngineError, ModelFileError
from llmlab.engine.placement import SPLIT_SHARE, Placement, Weights, does_not_fit
from llmlab.engine.progress import Control
from llmlab.engine.types import Architecture
from llmlab.engine.wording import first_line, some_of

_REPORTED_STEPS = 200  # progress is told at most this often


@dataclass(frozen=True, slots=True, eq=False)
class ReadModel:
    """A model as it came out of its files. Without its head it is the body alone."""

    model: PreTrainedModel
    has_head: bool
    notes: tuple[str, ...]


def read_model(
    folder: Path,
    config: PreTrainedConfig,
    architecture: Architecture,
    placement: Placement,
    weights: Weights,
    control: Control,
) -> ReadModel:
    """The model in evaluation mode on its device, with every tensor from the files and none made up.

    Raises Cancelled, or an EngineError after everything that was read has been dropped.
    """
    problem: Exception
    try:
        return _read(folder, config, architecture, placement, weights, control)
    except (Cancelled, EngineError) as error:
        problem = error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - what a damaged or odd checkpoint makes transformers raise is open
        problem = _in_words(error, folder, placement, weights)
    release_memory()  # outside the handler: until here the traceback held the tensors
    raise problem


def _read(
    folder: Path,
    config: PreTrainedConfig,
    architecture: Architecture,
    placement: Placement,
    weights: Weights,
    control: Control,
) -> ReadModel:
    with _progress(control, tidy=placement.quantization is not None):
        model, report = auto_class(architecture).from_pretrained(
            folder,
            config=config,
            dtype=DTYPES[placement.dtype],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **_where(placement),
            **_quantized(placement, weights),
        )
    has_head = _check_complete(model, report)
    notes = _unused(model, report)
    trim_heap()
    if placement.device == CPU and placement.quantization in ("nf4", "fp4"):
        _keep_exact(model, placement.dtype)
    return ReadModel((model if has_head else model.base_model).eval(), has_head, notes)


def _where(placement: Placement) -> dict[str, Any]:
    if placement.split:
        room = {index: int(SPLIT_SHARE * free_memory(torch.device("cuda", index))) for index in placement.split}
        return {"device_map": "auto", "max_memory": room}
    if placement.device == CPU and placement.quantization is None:
        return {}
    return {"device_map": {"": placement.device}}


def _quantized(placement: Placement, weights: Weights) -> dict[str, Any]:
    """Every setting is said: the defaults of transformers would be FP4 with float32 arithmetic."""
    if placement.quantization is None or weights.quantization is not None:
        return {}
    if placement.quantization == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}  # type: ignore[no-untyped-call]
    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type=placement.quantization,
        bnb_4bit_use_double_quant=placement.double,
        bnb_4bit_compute_dtype=DTYPES[placement.dtype],
    )
    return {"quantization_config": settings}


def _keep_exact(model: PreTrainedModel, dtype: str) -> None:
    """Let 4-bit layers compute with the weights they stand for.

    On AVX512-BF16 processors bitsandbytes would repack them and compute every layer in bfloat16 (relative error 0.004
    in a float32 model), and it fails on matrices whose sides are no multiples of its tiles of 32 rows and one block of
    columns. Rows that are no whole number of blocks it reads wrongly on any processor.
    """
    layer: Any
    for layer in model.modules():
        if getattr(layer, "support_avx512bf16_for_cpu", False):
            state = layer.weight.quant_state
            fits = state.shape[0] % 32 == 0 and state.shape[1] % state.blocksize == 0
            layer.support_avx512bf16_for_cpu = fits and dtype == "bfloat16"
        if getattr(getattr(layer, "weight", None), "quant_state", None) is not None:
            four_bits.read_right(layer)


def _check_complete(model: PreTrainedModel, report: dict[str, Any]) -> bool:
    """Whether the head is there as well. Raises ModelFileError where a single tensor is missing or of another shape."""
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"])
    if mismatched or report.get("error_msgs") or report.get("conversion_errors"):
        raise _unlike(mismatched or [str(message) for message in report.get("error_msgs") or ()])
    missing = set(report["missing_keys"])
    if not missing:
        return True
    body = f"{model.base_model_prefix}."
    head = {name for name, _ in model.named_parameters() if not name.startswith(body)}
    if model.base_model is not model and head and missing >= head and not any(key.startswith(body) for key in missing):
        return False
    names = sorted(missing)
    raise ModelFileError(
        f"{len(names)} tensor{'s' * (len(names) > 1)} that the architecture needs "
        f"{'are' if len(names) > 1 else 'is'} missing from the weight files: {some_of(names)}.",
        "The checkpoint is incomplete or was made for another architecture; download it again.",
    )


def _unused(model: PreTrainedModel, report: dict[str, Any]) -> tuple[str, ...]:
    """A note on layers in the files that the configuration has no place for. Other heads are nobody's concern."""
    layers = sorted(
        key for key in report["unexpected_keys"] if re.search(rf"^{model.base_model_prefix}\b.*\.\d+\.", key)
    )
    if not layers:
        return ()
    return (f"The files hold {len(layers)} tensors of layers that the configuration does not have: {some_of(layers)}.",)


def _in_words(error: Exception, folder: Path, placement: Placement, weights: Weights) -> EngineError:
    """What an exception from transformers means for the user."""
    text = first_line(error)
    if is_out_of_memory(error):
        return does_not_fit(placement, weights)
    if isinstance(error, ImportError):
        return DeviceError(
            f"A package that this model needs is missing: {text}.", "Install it and open the model again."
        )
    if "mismatch" in str(error):
        return _unlike([text])
    return ModelFileError(
        f"“{weights.name}” cannot be loaded from “{folder.name}”: {text}.",
        "Download the model again; if that does not help, its files do not fit the installed version of transformers.",
    )


def _unlike(what: list[str]) -> ModelFileError:
    return ModelFileError(
        f"Tensors in the weight files have other shapes than the configuration says: {some_of(what)}.",
        "The configuration and the weights belong to different models; download both again.",
    )


@contextmanager
def _progress(control: Control, *, tidy: bool) -> Iterator[None]:
    """While weights are read, transformers' progress bar goes to `control`, and every tensor can be the last one.

    `tidy` returns what quantizing leaves in the heap as it goes. Transformers' own report of missing tensors is kept
    from the terminal: `_check_complete` says the same in words.
    """
    set_hook: Callable[..., Any] = getattr(transformers_logging, "set_tqdm_hook", lambda _: None)  # not in 5.3
    before = set_hook(lambda factory, args, kwargs: _Steps(control, tidy, *args, **kwargs))
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_error)
    try:
        yield
    finally:
        logger.removeFilter(_is_error)
        set_hook(before)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


class _Steps:
    """Stands in for tqdm: passes the items on, reports how many, asks whether to go on."""

    def __init__(self, control: Control, tidy: bool, items: Iterable[Any] = (), **settings: Any) -> None:
        self._control = control
        self._tidy = tidy
        self._items = items
        self._total = settings.get("total") or (len(items) if isinstance(items, Sized) else 0)
        self._is_weights = settings.get("desc") == "Loading weights"

    def __iter__(self) -> Iterator[Any]:
        step = max(self._total // _REPORTED_STEPS, 1)
        for done, item in enumerate(self._items):
            self._control.check()
            if self._is_weights and done % step == 0:
                self._control.report(f"Reading the weights: {done} of {self._total} tensors", done / self._total)
                if self._tidy:
                    trim_heap()
            yield item

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None
