"""Supervised tasks of the sequence-to-sequence model: answer, summarize, classify. Only text that is not by Llama."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmlab.training.corpus import Corpus, is_held_out
from llmlab.training.draw import Rng, pick
from llmlab.training.families import Family, clinc_domains, clinc_intents, natural, sentiment, spam, word_groups
from llmlab.training.stories import story

LONGEST_SECTION = 1100  # characters; longer sections would be cut in the middle of the answer


@dataclass(frozen=True, slots=True)
class Task:
    """One supervised example: the prompt with its prefix, and the answer."""

    prompt: str
    answer: str


def answer_prompt(question: str, context: str) -> str:
    """The prompt of a question over a text."""
    return f"answer: {question} context: {context}"


def summarize_prompt(text: str) -> str:
    """The prompt of a summary."""
    return f"summarize: {text}"


def classify_prompt(kind: str, text: str) -> str:
    """The prompt of a classification: intent, domain, message, sentiment or word."""
    return f"classify {kind}: {text}"


def fairy_tale_questions(corpus: Corpus, held_out: bool) -> list[Task]:
    """Questions over sections of fairy tales that are short enough to be read whole."""
    tasks = []
    for record in corpus.labelled("fairytaleqa"):
        section = " ".join(record["section"].split())
        if len(section) <= LONGEST_SECTION and is_held_out(record["section"]) == held_out:
            tasks.append(Task(answer_prompt(record["question"], section), record["answer"]))
    return tasks


def generated_question(rng: Rng) -> Task:
    """A question over a story of our own."""
    told = story(rng)
    question, answer = told.questions[int(rng.integers(len(told.questions)))]
    return Task(answer_prompt(question, told.text), answer)


def generated_summary(rng: Rng) -> Task:
    """The summary of a story of our own."""
    told = story(rng)
    return Task(summarize_prompt(told.text), told.summary)


def classifiers(corpus: Corpus, held_out: bool) -> dict[str, Family]:
    """The classification tasks by prefix."""
    families = {
        "intent": clinc_intents(corpus, held_out),
        "domain": clinc_domains(corpus, held_out),
        "message": spam(corpus, held_out),
        "sentiment": sentiment(),
        "word": word_groups(),
    }
    return {kind: family for kind, family in families.items() if family.labels}


def classification(rng: Rng, families: dict[str, Family]) -> Task:
    """A text of one of the families, to be labelled; each kind equally likely."""
    kind = pick(rng, tuple(families))
    family = families[kind]
    label = pick(rng, family.labels)
    return Task(classify_prompt(kind, family.text(rng, label)), natural(label))


class TaskMaker:
    """Draws supervised examples."""

    def __init__(self, corpus: Corpus) -> None:
        self._tales = fairy_tale_questions(corpus, held_out=False)
        self._families = classifiers(corpus, held_out=False)

    def reading(self, rng: Rng) -> Task:
        """A question or a summary: half from fairy tales, half generated."""
        makers: Sequence[Callable[[Rng], Task]] = (generated_question, generated_summary)
        if self._tales and rng.random() < 0.5:
            return self._tales[int(rng.integers(len(self._tales)))]
        return makers[int(rng.random() < 0.35)](rng)

    def classification(self, rng: Rng) -> Task:
        """A text to be labelled."""
        return classification(rng, self._families)
