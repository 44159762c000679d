"""The facade: what scripts and the window call."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import InputError, ModelNotFoundError
from llmlab.engine.reading import guarded
from llmlab.engine.types import Feature
from tests.engine import checkpoints, tiny


def test_opens_a_folder_and_answers(tmp_path: Path, device: str) -> None:
    engine = Engine.open(str(checkpoints.save("llama", tmp_path / "model")), device=device, dtype="float32")
    tokens = engine.tokenize("Once upon a time")
    assert tokens.ids.dtype == np.int64
    assert engine.next_token("Once upon").probabilities.shape == (engine.info.vocabulary,)
    assert engine.attention("Once upon a time").weights(0, 0).shape == (len(tokens), len(tokens))
    assert len(list(engine.generate("Once", max_new_tokens=3))) == 3
    assert engine.score("Once", [" upon"]).shape == (1,)
    assert engine.memory_use().weights > 0
    assert len(engine.vocabulary_texts()) == engine.info.vocabulary
    assert engine.token_texts(tokens.ids) == tokens.pieces


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decoder", "encoder", "seq2seq", "draft"])
def test_bundled_models_offer_what_they_say(name: str) -> None:
    engine = Engine.open(f"bundled:{name}", device="cpu")
    text = "The cat sat on the" + (engine.info.mask_token or "") + "."
    (position,) = engine.distribution(text).positions
    assert len(position.texts) == 512
    attention = engine.attention(text)
    for kind in attention.kinds:
        weights = attention.weights(0, kind=kind)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-4)
    if Feature.GENERATE in engine.info.features:
        texts = ["".join(step.text for step in engine.generate(text, max_new_tokens=10, seed=3)) for _ in range(2)]
        assert texts[0] == texts[1]


def test_closing_frees_the_model() -> None:
    engine = tiny.engine("gpt2")
    model = weakref.ref(engine.loaded.model)
    engine.next_token("Once")
    engine.close()
    gc.collect()
    assert model() is None
    with pytest.raises(ModelNotFoundError):
        engine.next_token("Once")
    assert engine.info.model_type == "gpt2"  # what was open can still be said


def test_half_of_a_surrogate_pair_is_refused_everywhere() -> None:
    engine = tiny.engine("llama")
    for call in (engine.tokenize, engine.next_token, engine.generate, engine.distribution, engine.attention):
        with pytest.raises(InputError, match="surrogate"):
            call("a\udc80")


def test_running_out_of_memory_leaves_no_tensor_behind() -> None:
    kept: list[weakref.ref[torch.Tensor]] = []

    def work() -> None:
        large = torch.zeros(10)
        kept.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(Exception, match="not enough GPU memory") as caught:
        guarded(work)
    assert kept[0]() is None  # although the error is still in hand
    assert caught.value.__context__ is None


def test_other_errors_stay_what_they_are() -> None:
    def work() -> None:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        guarded(work)
    with pytest.raises(Exception, match="not enough memory"):
        guarded(lambda: (_ for _ in ()).throw(MemoryError()))


def test_the_facade_is_imported_on_first_use() -> None:
    code = (
        "import sys, llmlab.engine, llmlab.engine.types, llmlab.engine.sampling, llmlab.engine.sorted_logits;"
        "assert 'torch' not in sys.modules; from llmlab.engine import Engine; assert 'torch' in sys.modules;"
        "assert not any(name.startswith('PySide6') for name in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_weights_hash_is_the_same_for_the_same_weights_only() -> None:
    from tests.engine import tiny

    first, second = tiny.engine("llama"), tiny.engine("llama")
    assert first.weights_sha256() == second.weights_sha256()
    assert len(first.weights_sha256()) == 64
    third = tiny.engine("llama")
    parameter = next(third.loaded.model.parameters())
    parameter.data[0, 0] += 1e-6
    assert third.weights_sha256() != first.weights_sha256()
    half = tiny.engine("llama")
    half.loaded.model.half()
    assert half.weights_sha256() != first.weights_sha256()
