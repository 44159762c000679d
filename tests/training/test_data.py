"""What is trained on and what is kept for measuring; episodes, generated text, masking and spans."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from llmlab.training import families, lexicon, stories, synthetic, tasks
from llmlab.training import tokenizer as vocabulary
from llmlab.training.corpus import Corpus, is_held_out, is_held_out_sentence
from llmlab.training.corruption import IGNORED, corrupt_spans, mask_tokens, point_at_spans
from llmlab.training.episodes import TEMPLATES, EpisodeMaker, Mix, arbitrary_words, render
from llmlab.training.evaluate import icl, spans
from llmlab.training.evaluate.text import held_out
from llmlab.training.mixture import encode_piece, repeated_tokens
from llmlab.training.recipes import RECIPES, Curriculum
from llmlab.training.tokenizer import END_OF_TEXT, ID, MASK, SENTINELS, SPECIALS

FUNCTION_WORDS = {"to", "in", "on", "by", "it", "was", "some", "an", "a", "his", "her"}
seeds = st.integers(0, 2**32 - 1)


def test_a_document_and_its_question_fall_together() -> None:
    section = "Once there was a king. " * 20
    assert is_held_out(section) == is_held_out(section + "\nQuestion: Who?\nAnswer: A king.")


def test_held_out_documents_are_not_in_the_token_store(corpus: Corpus, tokenizer: Tokenizer, work: object) -> None:
    name = "01_tinystories_slice"
    documents = corpus.documents(name)
    kept = [document for document in documents if is_held_out(document)]
    assert 0 < len(kept) < len(documents) / 4
    store = vocabulary.token_store(corpus, name, tokenizer, work)  # type: ignore[arg-type]
    trained = tokenizer.decode(store.tokens.tolist())
    assert store.starts.size == len(documents) - len(kept)
    assert not any(document in trained for document in kept)
    measured = held_out(corpus, name, tokenizer).text
    assert all(document in measured for document in kept)


def test_measured_and_trained_sentences_are_disjoint(corpus: Corpus) -> None:
    trained = {text for f in families.trained_families(corpus) for part in f.examples.values() for text in part}
    for make in (families.clinc_intents, families.clinc_domains, families.spam):
        measured = {text for part in make(corpus, held_out=True).examples.values() for text in part}
        assert measured
        assert all(is_held_out_sentence(text) for text in measured)
        assert not measured & trained
    unseen = families.unseen_intents(corpus)
    assert len(unseen.labels) == families.HELD_OUT_INTENTS
    assert not {text for part in unseen.examples.values() for text in part} & trained


def test_held_out_groups_and_questions_are_not_trained(corpus: Corpus) -> None:
    names = {family.name for family in families.trained_families(corpus)}
    assert "question types" not in names
    assert not set(families.word_groups().labels) & set(lexicon.HELD_OUT_GROUPS)
    assert set(families.word_groups(unseen=True).labels) == set(lexicon.HELD_OUT_GROUPS)


def test_arbitrary_label_words_for_measuring_are_not_trained(tokenizer: Tokenizer) -> None:
    words = vocabulary.word_tokens(tokenizer)
    assert not set(arbitrary_words(words, held_out=True)) & set(arbitrary_words(words, held_out=False))


def test_only_the_decoder_and_its_draft_model_read_text_by_llama() -> None:
    from llmlab.training.corpus import source

    assert not any(source(name).llama for kind in ("encoder", "seq2seq") for name in RECIPES[kind].mix)
    assert all(RECIPES[kind].name.startswith("Llama") for kind in ("decoder", "draft"))


@pytest.fixture(scope="module")
def maker(corpus: Corpus, tokenizer: Tokenizer) -> EpisodeMaker:
    words = arbitrary_words(vocabulary.word_tokens(tokenizer), held_out=False)
    return EpisodeMaker(families.trained_families(corpus), words)


@given(seed=seeds)
@settings(deadline=None)
def test_spans_are_ordered_and_hold_text(maker: EpisodeMaker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for piece in (maker.draw(rng, Mix()), synthetic.skill(rng)):
        ends = [0, *(edge for span in piece.spans for edge in span), len(piece.text)]
        assert ends == sorted(ends)
        assert all(piece.text[a:b].strip() for a, b in piece.spans)


@given(seed=seeds)
@settings(deadline=None)
def test_every_generated_answer_is_in_its_story(seed: int) -> None:
    told = stories.story(np.random.default_rng(seed))
    text = told.text.lower()
    for _, answer in told.questions:
        words = re.findall(r"[a-z]+", answer.lower())
        assert words
        assert all(word in text for word in words if word not in FUNCTION_WORDS)


def test_a_label_counts_once_it_can_be_known() -> None:
    piece = render([("cat", "foo"), ("dog", "bar"), ("cow", "foo")], TEMPLATES[12], "word", "")
    assert piece.text == "cat -> foo\ndog -> bar\ncow -> foo\n"
    assert [piece.text[a:b] for a, b in piece.spans] == [" foo"]
    listed = render([("cat", "foo")], TEMPLATES[12], "word", "Labels: foo, bar\n")
    assert [listed.text[a:b] for a, b in listed.spans] == [" foo"]


def test_answer_tokens_get_the_label_weight(tokenizer: Tokenizer) -> None:
    piece = render([("cat", "foo"), ("cow", "foo")], TEMPLATES[12], "word", "")
    ids, weights = encode_piece(tokenizer.encode(piece.text, add_special_tokens=False), piece, 2.0)
    heavy = tokenizer.decode([token for token, weight in zip(ids, weights, strict=True) if weight == 2.0])
    assert heavy == " foo"


def test_only_repetitions_of_random_tokens_count() -> None:
    ids, weights = repeated_tokens(np.random.default_rng(0), np.arange(100, 400))
    period = weights.index(0.1)
    assert len(ids) == len(weights)
    assert ids[:period] == ids[period : 2 * period]
    assert not any(weights[:period])
    assert all(weight == 1.0 for weight in weights[period + 1 :])


def test_the_curriculum_covers_the_run() -> None:
    curriculum = Curriculum()
    assert [curriculum.stage(p).begin for p in (0.0, 1.0)] == [curriculum.stages[0].begin, curriculum.stages[-1].begin]
    assert curriculum.mix(0.0).repeats > curriculum.mix(1.0).repeats > 0


@given(seed=seeds, length=st.integers(2, 300))
@settings(deadline=None)
def test_corrupted_spans_restore_the_text(seed: int, length: int) -> None:
    ids = list(range(len(SPECIALS), len(SPECIALS) + length))
    source, target = corrupt_spans(np.random.default_rng(seed), ids)
    found = spans.spans_of(target)
    restored = [t for token in source[:-1] for t in (found.get(token, [token]))]
    assert restored == ids
    assert source[-1] == target[-1] == ID[END_OF_TEXT]
    assert list(found)[:-1] == [ID[s] for s in SENTINELS[: len(found) - 1]]


@given(seed=seeds)
@settings(deadline=None)
def test_what_is_pointed_at_stands_in_the_input_after_its_sentinel(seed: int) -> None:
    pool = np.arange(len(SPECIALS), len(SPECIALS) + 50)
    source, target = point_at_spans(np.random.default_rng(seed), pool)
    asked, given = spans.spans_of(target), spans.spans_of(source)
    closing = [ID[SENTINELS[len(given)]]]
    assert list(asked) == [*sorted(given), *closing]
    assert all(asked[sentinel] == given[sentinel] for sentinel in given)
    assert all(1 <= len(part) <= 4 for part in given.values())


def test_masks_take_the_wanted_share() -> None:
    ids = np.full((200, 100), 500)
    ids[:, 0] = ID[END_OF_TEXT]
    inputs, labels = mask_tokens(np.random.default_rng(0), ids, 4096)
    asked = labels != IGNORED
    assert 0.15 < asked[:, 1:].mean() < 0.30
    assert not asked[:, 0].any()
    assert (labels[asked] == 500).all()
    assert 0.75 < (inputs[asked] == ID[MASK]).mean() < 0.85
    assert (inputs[~asked] == ids[~asked]).all()


def test_measured_questions_do_not_contain_their_query_as_shot(corpus: Corpus) -> None:
    family = families.clinc_intents(corpus, held_out=False)
    for asked in icl.questions(family, 4, 20, None):
        shown = re.findall(r"(?:Input: |Request: |^)(please .*?number \d+)", asked.prompt, re.MULTILINE)
        assert len(shown) == 5
        assert shown[-1] not in shown[:-1]


def test_tasks_are_asked_with_their_prefix(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    made = tasks.TaskMaker(corpus)
    prompts = [made.reading(rng).prompt for _ in range(30)] + [made.classification(rng).prompt for _ in range(30)]
    assert {prompt.split(":")[0].split()[0] for prompt in prompts} == {"answer", "summarize", "classify"}
