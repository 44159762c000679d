"""The calculator's settings: one frozen dataclass, to and from the settings file. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.formats import CACHE_FORMATS, GGUF_BITS
from llmlab.engine.memory.inference import CONVENTIONS, InferenceSettings
from llmlab.engine.memory.optimizers import Implementation, Optimizer
from llmlab.engine.memory.shape import Group, ModelShape
from llmlab.engine.memory.sharding import Offload, ShardingSettings, Strategy
from llmlab.engine.memory.training import Lora, Precision, TrainingSettings

PAGES = ("parts", "phases", "gpus", "contour", "sharing", "rules", "speed")
PURPOSES = ("inference", "training")
LISTED, OPENED = "list:", "spec:"  # before the name of a source; nothing is the loaded model
FIRST = f"{LISTED}meta-llama/Meta-Llama-3-8B"  # shown while no model is open
TARGETS = ("attention", "all")  # of LoRA
MARKED = ("GeForce RTX 4090", "A100 80 GB SXM", "H200")
MOST_MARKED = 8  # as many as there are colours
MOST_OPENED = 12
MOST_LENGTH = 1000  # characters of a path
MIB = 2**20

# What stands in the list: its key, its name, and how the model is opened. Quantized weights leave the rest in bfloat16.
PRECISIONS: Mapping[str, tuple[str, str, str | None, bool]] = {
    "float32": ("float32", "float32", None, False),
    "bfloat16": ("bfloat16", "bfloat16", None, False),
    "float16": ("float16", "float16", None, False),
    "fp8": ("FP8", "fp8", None, False),
    "int8": ("LLM.int8", "bfloat16", "int8", False),
    "nf4": ("NF4", "bfloat16", "nf4", False),
    "nf4 double": ("NF4, double quantized", "bfloat16", "nf4", True),
    "fp4": ("FP4", "bfloat16", "fp4", False),
    "fp4 double": ("FP4, double quantized", "bfloat16", "fp4", True),
    **{name: (f"GGUF {name}", "bfloat16", name, False) for name in sorted(GGUF_BITS, key=lambda n: -GGUF_BITS[n])},
}
COMPARED = ("float32", "bfloat16", "Q8_0", "int8", "Q6_K", "Q4_K_M", "nf4", "nf4 double", "Q2_K")  # as stacked bars
BASES = {"": None, "int8": "int8", "nf4": "nf4", "fp4": "fp4"}  # how LoRA's frozen weights are kept

LIMITS: Mapping[str, tuple[float, float]] = {
    "tokens": (1, 1_048_576),
    "batch": (1, 4096),
    "source_tokens": (0, 1_048_576),
    "prefill": (0, 1_048_576),
    "context_mib": (0, 4096),
    "margin": (0, 50),
    "lora_rank": (0, 1024),
    "micro_batches": (1, 1024),
    "gpus": (1, 1024),
    "node": (1, 128),
    "tensor_parallel": (1, 64),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "page": PAGES,
    "purpose": PURPOSES,
    "precision": tuple(PRECISIONS),
    "cache_dtype": tuple(CACHE_FORMATS),
    "convention": CONVENTIONS,
    "train_precision": tuple(Precision),
    "optimizer": tuple(Optimizer),
    "implementation": tuple(Implementation),
    "checkpointing": tuple(Checkpointing),
    "lora_targets": TARGETS,
    "lora_base": tuple(BASES),
    "strategy": tuple(Strategy),
    "offload": tuple(Offload),
}


@dataclass(frozen=True, slots=True)
class Params:
    """What is calculated, and which picture shows it.

    `source` is "" for the loaded model, "list:NAME" for one of the built-in list, "spec:…" for a hub id, a folder or a
    config.json. `marked` are the GPUs that the plots compare.
    """

    source: str = ""
    opened: tuple[str, ...] = ()
    page: str = PAGES[0]
    purpose: str = PURPOSES[0]
    precision: str = "bfloat16"
    tokens: int = 4096
    batch: int = 1
    source_tokens: int = 512
    cache_dtype: str = "bfloat16"
    convention: str = CONVENTIONS[0]
    prefill: int = 0
    all_logits: bool = False
    flash: bool = True
    train_precision: str = Precision.AUTOCAST.value
    optimizer: str = Optimizer.ADAMW.value
    implementation: str = Implementation.FUSED.value
    micro_batches: int = 1
    checkpointing: str = Checkpointing.NONE.value
    chunked_loss: bool = False
    fused_backward: bool = False
    lora_rank: int = 0
    lora_targets: str = TARGETS[0]
    lora_base: str = ""
    gpus: int = 1
    strategy: str = Strategy.DDP.value
    node: int = 8
    offload: str = Offload.NONE.value
    tensor_parallel: int = 1
    context_mib: int = 500
    margin: int = 5
    marked: tuple[str, ...] = MARKED

    @property
    def training(self) -> bool:
        """Whether a training step is calculated, not a run."""
        return self.purpose == "training"

    @property
    def inference_settings(self) -> InferenceSettings:
        """How the model is run."""
        return self.run_with(self.precision)

    def run_with(self, precision: str) -> InferenceSettings:
        """How the model is run, in another precision."""
        _, dtype, quantization, double = PRECISIONS[precision]
        return InferenceSettings(
            dtype=dtype,
            quantization=quantization,
            double=double,
            tokens=self.tokens,
            source_tokens=self.source_tokens,
            batch=self.batch,
            cache_dtype=self.cache_dtype,
            convention=self.convention,
            prefill=self.prefill or None,
            all_logits=self.all_logits,
            flash=self.flash,
            cuda_context=self.context_mib * MIB,
            margin=self.margin / 100,
        )

    def training_settings(self, shape: ModelShape) -> TrainingSettings:
        """How `shape` is trained; what LoRA adapts depends on the names of its layers."""
        lora = None
        if self.lora_rank:
            lora = Lora(self.lora_rank, targets(shape, self.lora_targets), BASES[self.lora_base], double=False)
        return TrainingSettings(
            precision=Precision(self.train_precision),
            optimizer=Optimizer(self.optimizer),
            tokens=self.tokens,
            batch=self.batch,
            checkpointing=Checkpointing(self.checkpointing),
            flash=self.flash,
            lora=lora,
            fused_backward=self.fused_backward,
            chunked_loss=self.chunked_loss,
            source_tokens=self.source_tokens if shape.encodes_first else None,
            micro_batches=self.micro_batches,
            implementation=Implementation(self.implementation),
            cuda_context=self.context_mib * MIB,
            margin=self.margin / 100,
        )

    @property
    def plan(self) -> ShardingSettings:
        """How the training is shared out."""
        strategy, offload = Strategy(self.strategy), Offload(self.offload)
        return ShardingSettings(self.gpus, strategy, self.node, offload, self.tensor_parallel)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"opened": list(self.opened), "marked": list(self.marked)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Params:
        """What `to_dict` wrote. A value that is missing or makes no sense is left at its default."""
        good = {each.name: _checked(each.name, saved.get(each.name), each.default) for each in fields(cls)}
        return cls(**{name: value for name, value in good.items() if value is not None})


def targets(shape: ModelShape, which: str) -> tuple[str, ...]:
    """The names of the linear layers that LoRA adapts: those of attention, or all of them."""
    linear = [tensor for tensor in shape.tensors if tensor.quantized]
    chosen = [tensor for tensor in linear if which == "all" or tensor.group is Group.ATTENTION]
    return tuple(dict.fromkeys(tensor.module for tensor in chosen or linear))


def _checked(name: str, value: Any, default: Any) -> Any:
    """`value` if it can stand for setting `name`, else None."""
    if name in ("opened", "marked"):
        most = MOST_OPENED if name == "opened" else MOST_MARKED
        texts = [text for text in value if _is_text(text)] if isinstance(value, (list, tuple)) else None
        return None if texts is None else tuple(dict.fromkeys(texts))[:most]
    if name == "source":
        return value if value == "" or (_is_text(value) and value.startswith((LISTED, OPENED))) else None
    if name in _CHOICES:
        return value if value in _CHOICES[name] else None
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    low, high = LIMITS[name]
    return int(value) if low <= value <= high else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_LENGTH
