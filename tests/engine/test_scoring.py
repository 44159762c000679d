"""Scores are the sum of log-probabilities that plain forward passes give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llmlab.engine import Engine
from llmlab.engine.errors import Cancelled, InputError
from llmlab.engine.types import Architecture
from tests.engine import tiny

PROMPT = "Once upon a time there was"
ANSWERS = [" a", " a little model", " the same sentence again and again.", "", " 🌍"]


def by_transformers(engine: Engine, text: str, continuation: str) -> float:
    """One forward pass over everything, in float64."""
    tokenizer, model = engine.loaded.tokenizer, engine.loaded.model
    before, whole = tokenizer(text)["input_ids"], tokenizer(text + continuation)["input_ids"]
    if model.config.is_encoder_decoder:
        answer = tokenizer(continuation, add_special_tokens=False)["input_ids"]
        whole = [model.config.decoder_start_token_id, *answer]
        inputs = {"input_ids": before, "decoder_input_ids": whole}
        before = whole[:1]
    else:
        assert whole[: len(before)] == before
        inputs = {"input_ids": whole}
    with torch.inference_mode():
        logits = model(**{k: torch.tensor([v], device=engine.loaded.device) for k, v in inputs.items()}).logits[0]
    log_probabilities = logits.double().cpu().log_softmax(-1)
    return sum(float(log_probabilities[i - 1, whole[i]]) for i in range(len(before), len(whole)))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart"])
def test_scores(kind: str, device: str) -> None:
    engine = tiny.engine(kind, device)
    got = engine.score(PROMPT, ANSWERS)
    assert got.dtype == np.float64
    assert got.shape == (len(ANSWERS),)
    np.testing.assert_allclose(got, [by_transformers(engine, PROMPT, a) for a in ANSWERS], atol=1e-4)
    assert got[3] == 0.0


def test_one_token_is_scored_as_next_token_says() -> None:
    engine = tiny.engine("llama")
    index = engine.tokenize(PROMPT + " a").ids[-1]
    assert np.exp(engine.score(PROMPT, [" a"])[0]) == pytest.approx(engine.next_token(PROMPT).raw_probabilities[index])


def test_scores_do_not_depend_on_the_others() -> None:
    engine = tiny.engine("gpt2")
    together = engine.score(PROMPT, ANSWERS)
    alone = [engine.score(PROMPT, [answer])[0] for answer in ANSWERS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_continuation_that_merges_with_the_text_counts_the_merged_token() -> None:
    engine = tiny.engine("llama")
    tokenizer = engine.loaded.tokenizer
    text, continuation = "Once upon a ti", "me"
    before, whole = tokenizer(text)["input_ids"], tokenizer(text + continuation)["input_ids"]
    shared = next(i for i in range(len(whole)) if whole[: i + 1] != before[: i + 1])
    assert shared < len(before)  # “ time” is one token, “ ti” is not its beginning
    with torch.inference_mode():
        log_probabilities = engine.loaded.model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
    want = sum(float(log_probabilities[i - 1, whole[i]]) for i in range(shared, len(whole)))
    assert engine.score(text, [continuation, " a"])[0] == pytest.approx(want, abs=1e-4)


def test_the_end_that_a_tokenizer_adds_is_not_scored() -> None:
    engine = tiny.engine("t5")
    tokenizer = engine.loaded.tokenizer
    backend = tokenizer.backend_tokenizer
    from tokenizers.processors import TemplateProcessing

    plain = engine.score(PROMPT, [" a"])
    backend.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    ended = engine.score(PROMPT + "", [" a"])
    assert ended[0] == pytest.approx(by_transformers(engine, PROMPT, " a"), abs=1e-4)
    assert ended[0] != pytest.approx(plain[0])  # the encoder does read the end

    decoder = tiny.engine("llama")
    want = decoder.score(PROMPT, [" a"])
    decoder.loaded.tokenizer.backend_tokenizer.post_processor = backend.post_processor
    np.testing.assert_allclose(decoder.score(PROMPT, [" a"]), want, atol=1e-5)


def test_an_empty_text_scores_from_its_beginning() -> None:
    engine = tiny.engine("llama")
    assert not engine.loaded.tokenizer("")["input_ids"]  # the tokenizer itself adds no beginning
    np.testing.assert_allclose(engine.score("", ["a time"]), engine.score("<s>", ["a time"]), atol=1e-5)


def test_too_long_together() -> None:
    with pytest.raises(InputError, match="64"):
        tiny.engine("gpt2").score(" a" * 60, [" a" * 10])


def test_can_be_cancelled() -> None:
    class Off:
        def check(self) -> None:
            raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    with pytest.raises(Cancelled):
        tiny.engine("gpt2").score(PROMPT, [" a"], Off())


def test_no_continuations() -> None:
    assert tiny.engine("gpt2").score(PROMPT, []).shape == (0,)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5", "bart"])
def test_each_token_has_its_own_log_probability_and_rank(kind: str) -> None:
    engine = tiny.engine(kind)
    scored = engine.score_tokens(PROMPT, ANSWERS)
    np.testing.assert_allclose([each.total for each in scored], engine.score(PROMPT, ANSWERS), atol=1e-9)
    text, tokens = PROMPT, scored[2]
    if engine.info.architecture is not Architecture.DECODER:
        text = ""  # there the continuation is the decoder's: only its first token has a position `next_token` knows
    following = engine.next_token(PROMPT)
    raw = following.raw_probabilities
    assert np.exp(tokens.log_probabilities[0]) == pytest.approx(raw[tokens.ids[0]], abs=1e-6)
    assert tokens.ranks[0] == (following.logits > following.logits[tokens.ids[0]]).sum()
    assert tokens.best_ids[0] == following.logits.argmax()
    assert np.exp(tokens.best_log_probabilities[0]) == pytest.approx(raw.max(), abs=1e-6)
    if text:
        after = engine.next_token(text + tokens.tokens[0])
        assert tokens.ranks[1] == (after.logits > after.logits[tokens.ids[1]]).sum()
    assert tokens.perplexity == pytest.approx(np.exp(-tokens.total / len(tokens.ids)))
    assert (len(scored[3].ids), scored[3].total, scored[3].mean, scored[3].perplexity) == (0, 0.0, None, None)


def test_tokens_of_a_long_continuation_are_scored_in_blocks() -> None:
    engine = tiny.engine("llama")
    (scored,) = engine.score_tokens("Once", [" upon a time there was a little model" * 6])
    assert len(scored.ids) > 32
    assert scored.total == pytest.approx(by_transformers(engine, "Once", scored.text), abs=1e-4)
    assert "".join(scored.tokens) == scored.text
