"""Label scores are what one plain forward pass for each label says, whatever is shared, batched or halved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llmlab.engine import Engine, datasets
from llmlab.engine.errors import Cancelled, InputError, OutOfMemoryError
from llmlab.engine.shots import batching, labels
from llmlab.engine.shots.answer import _counts, answer, with_every_shot
from llmlab.engine.shots.budget import Prompts
from llmlab.engine.shots.compose import compose, pair
from llmlab.engine.shots.labels import score_labels, score_one
from llmlab.engine.shots.results import LabelScores, Score
from llmlab.engine.shots.types import Example, Form, PromptSpec, Rendered
from tests.engine import tiny
from tests.engine.shots import models

LABELS = ("time", "a little model", "again and again", "sentence")
SPEC = PromptSpec("read: {x} is", "Once upon.\n", labels=LABELS, fewshot_delimiter="\n")
SHOTS = [Example((("x", "there was"),), "time"), Example((("x", "the same"),), "sentence")]
QUERIES = [Example((("x", text),)) for text in ("once", "a model that read", "", "and", "upon a time", "same again")]


def plain(engine: Engine, rendered: Rendered) -> list[float]:
    """As lm-evaluation-harness does it: encode context and continuation together, split, one forward pass each."""
    tokenizer, model = engine.loaded.tokenizer, engine.loaded.model
    sums = []
    for choice in rendered.choices:
        if model.config.is_encoder_decoder:
            context = tokenizer(rendered.text)["input_ids"]
            answer = tokenizer(choice, add_special_tokens=False)["input_ids"]
            ids = [model.config.decoder_start_token_id, *answer]
            inputs, begin = {"input_ids": context, "decoder_input_ids": ids}, 1
        else:
            text, continuation = pair(rendered, choice)
            context, ids = tokenizer(text)["input_ids"], tokenizer(text + continuation)["input_ids"]
            assert ids[: len(context)] == context
            inputs, begin = {"input_ids": ids}, len(context)
        with torch.inference_mode():
            logits = model(**{name: torch.tensor([row]) for name, row in inputs.items()}).logits[0]
        found = logits.double().log_softmax(-1)
        sums.append(sum(float(found[place - 1, ids[place]]) for place in range(begin, len(ids))))
    return sums


def scored(engine: Engine, spec: PromptSpec, queries: Sequence[Example]) -> tuple[list[Rendered], list[LabelScores]]:
    prompts = [prompt.rendered for prompt in Prompts(engine.loaded, spec).all(SHOTS, queries)]
    found = dict(score_labels(engine.loaded, prompts))
    return prompts, [found[place] for place in range(len(prompts))]


@pytest.mark.parametrize("kind", models.DECODERS)
def test_every_family_of_decoders(kind: str) -> None:
    engine = models.decoder(kind)
    queries = QUERIES[:4] if kind == "gpt2" else QUERIES
    prompts, scores = scored(engine, SPEC, queries)
    for prompt, one in zip(prompts, scores, strict=True):
        np.testing.assert_allclose(one.sums, plain(engine, prompt), atol=1e-4)
        assert one.labels == LABELS
        assert one.characters.tolist() == [len(label) for label in LABELS]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_encoder_decoder_models(kind: str) -> None:
    engine = tiny.engine(kind)
    prompts, scores = scored(engine, SPEC, QUERIES[:5])
    for prompt, one in zip(prompts, scores, strict=True):
        np.testing.assert_allclose(one.sums, plain(engine, prompt), atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_encoders_fill_in_a_mask(kind: str) -> None:
    engine = tiny.wrap(tiny.engine(kind).loaded.model, masked(), tiny.Architecture.ENCODER)
    spec = PromptSpec("It was {mask}. {x}", form=Form.CLOZE, labels=("time", "model", "again and"))
    prompts, scores = scored(engine, spec, QUERIES[:4])
    tokenizer, model = engine.loaded.tokenizer, engine.loaded.model
    for prompt, one in zip(prompts, scores, strict=True):
        assert prompt.text.count(tokenizer.mask_token) == 1
        for number, label in enumerate(spec.labels):
            words = tokenizer(f" {label}", add_special_tokens=False)["input_ids"]
            text = prompt.text.replace(" " + tokenizer.mask_token, tokenizer.mask_token * len(words))
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            with torch.inference_mode():
                found = model(input_ids=ids).logits[0].double().log_softmax(-1)
            places = (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
            want = sum(float(found[place, word]) for place, word in zip(places, words, strict=True))
            assert one.sums[number] == pytest.approx(want, abs=1e-4)
            assert one.tokens[number] == len(words)


def masked() -> tiny.PreTrainedTokenizerFast:
    tokenizer = tiny.copy.deepcopy(tiny.byte_level())
    tokenizer.add_special_tokens({"mask_token": tokenizer.convert_ids_to_tokens(5)})
    return tokenizer


def test_what_memory_does_not_hold_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    prompts, want = scored(engine, SPEC, QUERIES)
    original, sizes = labels._Continuations.__call__, []

    def short(self: labels._Continuations, places: list[int]) -> list[list[float]]:
        sizes.append(len(places))
        if len(places) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, places)

    monkeypatch.setattr(labels._Continuations, "__call__", short)
    found = dict(score_labels(engine.loaded, prompts))
    assert sizes[0] > 2
    assert max(sizes[1:]) <= max(2, sizes[0] // 2)
    for place, one in enumerate(want):
        np.testing.assert_allclose(found[place].sums, one.sums, atol=1e-5)

    monkeypatch.setattr(labels._Continuations, "__call__", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(OutOfMemoryError):
        list(score_labels(engine.loaded, prompts))


def test_small_batches_and_no_shared_beginning_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    prompts, want = scored(engine, SPEC, QUERIES)
    monkeypatch.setattr(labels, "LEAST_SHARED", 10_000)
    monkeypatch.setattr(batching, "BATCH_TOKENS", 50)
    monkeypatch.setattr(labels, "LOGIT_BYTES", 1)
    found = dict(score_labels(engine.loaded, prompts))
    for place, one in enumerate(want):
        np.testing.assert_allclose(found[place].sums, one.sums, atol=1e-5)


def test_labels_of_one_token_cost_one_row_and_longer_ones_share() -> None:
    engine = tiny.engine("llama")
    rendered = compose(SPEC, SHOTS, QUERIES[0])
    reads = labels.continuations(engine.loaded, replace(rendered, choices=("a", "b", "c")))
    assert len(reads.rows) == 1
    assert {len(label.ids) for label in reads.labels} == {1} or len(reads.labels) == 3


def test_trailing_spaces_of_the_context_move_to_the_continuation() -> None:
    engine = tiny.engine("llama")
    spec = replace(SPEC, template="read: {x} is ", target_delimiter="")
    moved, kept = (
        score_one(engine.loaded, compose(spec, SHOTS, QUERIES[0])),
        score_one(
            engine.loaded, compose(SPEC, [replace(s, fields=(("x", s.values["x"]),)) for s in SHOTS], QUERIES[0])
        ),
    )
    assert pair(compose(spec, SHOTS, QUERIES[0]), "time") == pair(compose(SPEC, SHOTS, QUERIES[0]), "time")
    np.testing.assert_allclose(moved.sums, kept.sums, atol=1e-6)


def test_scores_by_length() -> None:
    scores = LabelScores(("ab", "abcd"), np.array([-2.0, -3.0]), np.array([1, 3]), np.array([2, 4]))
    assert scores.best() == 0
    assert scores.best(Score.TOKEN) == 1
    np.testing.assert_allclose(scores.scores(Score.CHARACTER), [-1.0, -0.75])
    np.testing.assert_allclose(scores.probabilities(), np.exp([-2, -3]) / np.exp([-2, -3]).sum())
    assert scores.mass == pytest.approx(np.exp(-2) + np.exp(-3))


def test_what_cannot_be_scored() -> None:
    engine = tiny.engine("gpt2")
    with pytest.raises(InputError, match="no labels"):
        score_one(engine.loaded, compose(replace(SPEC, labels=()), SHOTS, QUERIES[0]))
    with pytest.raises(InputError, match="64"):
        score_one(engine.loaded, compose(SPEC, SHOTS * 9, QUERIES[0]))
    with pytest.raises(InputError, match="encoder-only"):
        Prompts(tiny.wrap(tiny.engine("bert").loaded.model, masked(), tiny.Architecture.ENCODER).loaded, SPEC)


def test_can_be_cancelled_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    class After:
        left = 1

        def check(self) -> None:
            self.left -= 1
            if self.left < -2:
                raise Cancelled

        def report(self, text: str, fraction: float | None = None) -> None: ...

    monkeypatch.setattr(batching, "BATCH_TOKENS", 1)
    engine = tiny.engine("llama")
    prompts, _ = scored(engine, SPEC, QUERIES)
    found: list[int] = []
    with pytest.raises(Cancelled):
        found.extend(place for place, _ in score_labels(engine.loaded, prompts, After()))
    assert 0 < len(found) < len(prompts)


@pytest.mark.cuda
def test_on_a_gpu() -> None:
    engine = tiny.engine("llama", "cuda")
    on_cpu = tiny.engine("llama")
    prompts, scores = scored(engine, SPEC, QUERIES)
    for prompt, one in zip(prompts, scores, strict=True):
        np.testing.assert_allclose(one.sums, plain(on_cpu, prompt), atol=1e-4)


def test_one_query_and_what_every_shot_changes() -> None:
    engine = tiny.engine("llama")
    found = answer(engine.loaded, SPEC, SHOTS, QUERIES[0])
    assert found.scores is not None
    np.testing.assert_allclose(found.scores.sums, plain(engine, found.prompt.rendered), atol=1e-4)
    assert len(found.free) == 3
    every = with_every_shot(engine.loaded, SPEC, SHOTS, QUERIES[0])
    assert [count for count, _ in every] == [0, 1, 2]
    np.testing.assert_allclose(every[2][1].sums, found.scores.sums, atol=1e-5)
    np.testing.assert_allclose(every[0][1].sums, plain(engine, compose(SPEC, [], QUERIES[0])), atol=1e-4)
    assert answer(engine.loaded, replace(SPEC, labels=()), SHOTS, QUERIES[0]).scores is None
    own = answer(engine.loaded, SPEC, SHOTS, replace(QUERIES[0], choices=("once", "again")))
    assert own.scores is not None
    assert own.scores.labels == ("once", "again")
    assert own.free == ()
    with pytest.raises(InputError, match="128"):
        answer(engine.loaded, SPEC, SHOTS * 12, QUERIES[0])
    many = with_every_shot(engine.loaded, SPEC, SHOTS * 12, QUERIES[0])
    assert 3 < len(many) < 25
    assert _counts(3) == [0, 1, 2, 3]
    assert _counts(60) == [*range(17), 24, 32, 48, 60]


@pytest.mark.parametrize("name", ["mood", "capital", "piece"])
def test_task_files_of_the_harness_are_scored_as_one_forward_pass_each(name: str) -> None:
    task = datasets.read(Path(__file__).parent / "tasks" / f"{name}.yaml")
    *shots, query = task.examples()
    spec = task.drafts[0].spec
    if not spec.labels:
        spec = replace(spec, labels=(*(shot.output for shot in shots), "something else"))
    engine = models.decoder("qwen3")
    prompts = [one.rendered for one in Prompts(engine.loaded, spec).all(shots, [query, shots[0]])]
    for place, scores in score_labels(engine.loaded, prompts):
        np.testing.assert_allclose(scores.sums, plain(engine, prompts[place]), atol=1e-4)


def test_a_mark_that_ends_the_prompt_belongs_to_it() -> None:
    tokenizer = tiny.copy.deepcopy(tiny.byte_level())
    mark = tokenizer.convert_ids_to_tokens(7)
    tokenizer.add_special_tokens({"additional_special_tokens": [mark]})
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}" + mark + "{% endfor %}"
    engine = tiny.wrap(tiny.engine("llama").loaded.model, tokenizer, context=128)
    spec = replace(SPEC, form=Form.CHAT)
    made = Prompts(engine.loaded, spec).all(SHOTS, QUERIES[:1])[0].rendered
    assert made.text.endswith(mark)
    assert tokenizer(made.text)["input_ids"][-1] == 7
    np.testing.assert_allclose(score_one(engine.loaded, made).sums, plain(engine, made), atol=1e-4)
    np.testing.assert_allclose(engine.score(made.text, LABELS), plain(engine, made), atol=1e-4)
