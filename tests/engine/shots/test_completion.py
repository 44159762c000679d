"""Answers written side by side are those that transformers writes to each prompt alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError
from llmlab.engine.reading import end_tokens
from llmlab.engine.shots import completion, side_by_side
from llmlab.engine.shots.completion import complete
from llmlab.engine.types import Architecture
from tests.engine import tiny
from tests.engine.shots.models import DECODERS, decoder

TEXTS = (
    "Once upon a time there was a little model",
    "Once upon a time there was",
    "Once upon a time there was a little model that read the same sentence again",
    "Once upon a time there was a model. Once again it",
    "Once upon a time there was a little",
)
APART = ("read", "Once upon a time", "a little model that read the same", "sentence again and")
BEYOND_PADDING = ("bloom", "mamba")  # no positions to be told, and a state instead of a cache


def alone(engine: Engine, text: str, most: int) -> str:
    """What transformers' `generate` writes to one prompt."""
    tokenizer, model = engine.loaded.tokenizer, engine.loaded.model
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    cached = model.config.model_type != "t5"  # its cache is as deep as the encoder, where the decoder may be deeper
    out: Any = model.generate(**inputs, do_sample=False, max_new_tokens=most, pad_token_id=1, use_cache=cached)
    begin = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    ids = out[0, begin:].tolist()
    ended = bool(ids) and ids[-1] in end_tokens(engine.loaded)
    return str(tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True))


def writer(kind: str) -> Engine:
    """A tiny model that writes to the end, and not the same to every text."""
    engine = decoder(kind) if kind in DECODERS else tiny.engine(kind)
    engine.loaded.tokenizer.eos_token = None
    model = engine.loaded.model
    model.generation_config.eos_token_id = None
    if model.config.is_encoder_decoder:
        model.generation_config.suppress_tokens = [0, 1, 2, 3]  # which would not show in the text
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and ("EncDecAttention" in name or "encoder_attn" in name):
                weight.data *= 30  # random decoders hardly look at what the encoder says
    return engine


class Counted:
    """A control that counts, and may say that the work is no longer wanted."""

    def __init__(self, checks: int = 10**9) -> None:
        self.left = checks
        self.said: list[float] = []

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def report(self, text: str, fraction: float | None = None) -> None:
        assert fraction is not None
        self.said.append(fraction)


def sizes_of_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch has, as they are opened."""
    sizes: list[int] = []
    for kind in (side_by_side.Prompts, side_by_side.Sources):

        def counted(self: Any, rows: Sequence[Any], plain: Any = kind.batch) -> Any:
            sizes.append(len(rows))
            return plain(self, rows)

        monkeypatch.setattr(kind, "batch", counted)
    return sizes


@pytest.mark.parametrize("kind", [*DECODERS, "t5", "bart"])
@pytest.mark.parametrize("texts", [TEXTS, APART], ids=["alike", "apart"])
@torch.inference_mode()
def test_each_answer_is_what_generate_writes(kind: str, texts: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = writer(kind)
    monkeypatch.setattr(side_by_side, "PREFILL", 16)  # prompts are read in parts
    sizes = sizes_of_batches(monkeypatch)
    found = dict(complete(engine.loaded, texts, 12))
    assert sizes == ([] if kind in BEYOND_PADDING else [len(texts)])
    assert [found[place] for place in range(len(texts))] == [alone(engine, text, 12) for text in texts]
    assert len(set(found.values())) > 1


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_answers_leave_the_batch_as_they_end(kind: str) -> None:
    engine = writer(kind)
    whole = dict(complete(engine.loaded, TEXTS, 10))
    stop = next(text[2:4] for text in whole.values() if len(text) > 4)
    found = list(complete(engine.loaded, TEXTS, 10, [stop]))
    assert dict(found) == {place: text.split(stop)[0] if stop in text else text for place, text in whole.items()}
    ended = [place for place, text in found if text != whole[place]]
    assert ended
    assert {place for place, _ in found[: len(ended)]} == set(ended), "what is stopped comes before the others"


def test_the_end_of_a_text_is_left_out() -> None:
    engine = tiny.engine("gpt2")
    ids = engine.loaded.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    end = int(engine.loaded.model(ids).logits[0, -1].argmax())
    engine.loaded.model.generation_config.eos_token_id = [end]
    found = dict(complete(engine.loaded, TEXTS, 6))
    assert found[0] == ""
    assert found == {place: alone(engine, text, 6) for place, text in enumerate(TEXTS)}


def test_a_full_window_ends_an_answer() -> None:
    engine = tiny.engine("gpt2")  # 64 tokens
    engine.loaded.model.generation_config.eos_token_id = None
    long = "again " * 50
    assert 50 < len(engine.tokenize(long)) < 60
    found = dict(complete(engine.loaded, [long, "Once"], 60))
    for place, text in enumerate((long, "Once")):
        assert found[place] == "".join(s.text for s in engine.generate(text, max_new_tokens=60, do_sample=False))
    with pytest.raises(InputError, match="reads at most 64"):
        list(complete(engine.loaded, ["again " * 80, "Once"], 4))


def test_tokens_that_the_model_must_not_write_are_not_written() -> None:
    engine = tiny.engine("llama")
    plain = dict(complete(engine.loaded, TEXTS, 4))
    ids = engine.loaded.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    first = int(engine.loaded.model(ids).logits[0, -1].argmax())
    engine.loaded.model.generation_config.suppress_tokens = [first]
    found = dict(complete(engine.loaded, TEXTS, 4))
    assert found[0] != plain[0]
    assert found == {place: alone(engine, text, 4) for place, text in enumerate(TEXTS)}


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_batches_are_halved_where_memory_runs_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = writer(kind)
    want = dict(complete(engine.loaded, TEXTS, 6))
    sizes = sizes_of_batches(monkeypatch)
    plain, calls = side_by_side.Batch.next_logits, []

    def narrow(self: Any, ids: Sequence[int]) -> torch.Tensor:
        calls.append(len(ids))
        if len(ids) > 2 and len(calls) > 2:  # in the middle of an answer
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, ids)

    monkeypatch.setattr(side_by_side.Batch, "next_logits", narrow)
    assert dict(complete(engine.loaded, TEXTS, 6)) == want
    assert sizes == [5, 2, 2, 1]
    monkeypatch.setattr(side_by_side.Batch, "next_logits", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemoryError):
        list(complete(engine.loaded, TEXTS, 6))


def test_no_more_rows_than_the_cache_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    sizes = sizes_of_batches(monkeypatch)
    monkeypatch.setattr(completion, "CACHE_BYTES", 1)
    assert len(list(complete(engine.loaded, TEXTS, 3))) == len(TEXTS)
    assert sizes == [1] * len(TEXTS)


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "t5"])
def test_progress_only_grows_and_a_cancelled_answer_ends_within_a_token(kind: str) -> None:
    engine = writer(kind)
    control = Counted()
    assert len(list(complete(engine.loaded, TEXTS, 8, control=control))) == len(TEXTS)
    assert control.said == sorted(control.said)
    assert control.said[-1] == 1
    assert len(control.said) >= 8
    forwards: list[int] = []
    handle = engine.loaded.model.register_forward_pre_hook(lambda *_: forwards.append(1))
    with pytest.raises(Cancelled):
        list(complete(engine.loaded, TEXTS, 8, control=Counted(5)))
    handle.remove()
    assert len(forwards) <= 6, "at most one pass after each check"


def test_nothing_to_write() -> None:
    loaded = tiny.engine("gpt2").loaded
    assert list(complete(loaded, [], 5)) == []
    assert dict(complete(loaded, TEXTS[:2], 0)) == {0: "", 1: ""}
    assert loaded.info.architecture is Architecture.DECODER


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["bundled:decoder", "bundled:seq2seq"])
def test_the_bundled_models_write_what_generate_writes(spec: str) -> None:
    engine = Engine.open(spec, device="cpu", dtype="float32")
    texts = [
        f"{text} {name}." for text in ("Once upon a time", "The dog") for name in ("there was a cat", "ran", "Tom")
    ]
    found = dict(complete(engine.loaded, texts, 24))
    assert [found[place] for place in range(len(texts))] == [alone(engine, text, 24) for text in texts]
