"""Families of classification tasks: sentences or words with a label, from labelled sets or generated.

A family says which labels belong together; an episode (see ``episodes.py``) draws two to five of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from llmlab.training import lexicon
from llmlab.training.corpus import Corpus, fingerprint, is_held_out, is_held_out_sentence
from llmlab.training.draw import Rng, article, pick
from llmlab.training.stories import story

HELD_OUT_INTENTS = 30  # of the 150: no sentence of theirs is ever trained on
QUESTION_WORDS = ("who", "what", "where", "when", "why", "how")
POSITIVE = {
    "happiness", "excitement", "satisfaction", "trust", "joy", "gratitude", "contentment", "pride", "optimism",
    "hope", "love",
}  # fmt: skip
NEGATIVE = {
    "anger", "sadness", "frustration", "confusion", "loneliness", "guilt", "boredom", "anxiety", "fear", "envy",
    "shame", "disgust",
}  # fmt: skip

Examples = Mapping[str, tuple[str, ...]]  # label -> texts


@dataclass(frozen=True)
class Family:
    """Texts by label. ``noun`` names the text in a template ("message"), ``weight`` is the share in the mix.

    ``groups`` limits which labels are drawn together (empty: any).
    """

    name: str
    examples: Examples
    weight: float = 1.0
    noun: str = "text"
    make: Mapping[str, Callable[[Rng], str]] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in a fixed order."""
        return tuple(self.make or self.examples)

    def text(self, rng: Rng, label: str) -> str:
        """A text with this label."""
        return self.make[label](rng) if self.make else pick(rng, self.examples[label])


def held_out_intents(intents: Iterable[str]) -> frozenset[str]:
    """The fixed choice of intents that are never trained on."""
    ranked = sorted(set(intents), key=lambda intent: (fingerprint(f"intent {intent}"), intent))
    return frozenset(ranked[:HELD_OUT_INTENTS])


def natural(label: str) -> str:
    """A label as one writes it: "exchange_rate" -> "exchange rate"."""
    return label.replace("_", " ")


def _by_label(pairs: Iterable[tuple[str, str]], held_out: bool, longest: int = 160) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for text, label in pairs:
        text = " ".join(text.split())
        if is_held_out_sentence(text) == held_out and 0 < len(text) <= longest:
            found[label].append(text)
    return {label: tuple(texts) for label, texts in sorted(found.items()) if len(texts) >= 2}


def clinc_intents(corpus: Corpus, held_out: bool) -> Family:
    """Requests by intent, of the 120 trained intents."""
    records = [r for r in corpus.labelled("clinc150") if r["label"] != "oos"]
    kept_out = held_out_intents(r["label"] for r in records)
    pairs = [(r["text"], r["label"]) for r in records if r["label"] not in kept_out]
    return Family("intents", _by_label(pairs, held_out), 5.0, "request")


def unseen_intents(corpus: Corpus) -> Family:
    """Requests by intent, of the 30 intents that are never trained on; all their sentences."""
    records = [r for r in corpus.labelled("clinc150") if r["label"] != "oos"]
    kept_out = held_out_intents(r["label"] for r in records)
    found: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record["label"] in kept_out:
            found[record["label"]].append(record["text"])
    return Family("unseen intents", {label: tuple(texts) for label, texts in sorted(found.items())}, 0.0, "request")


def clinc_domains(corpus: Corpus, held_out: bool) -> Family:
    """Requests by domain, without the unseen intents."""
    records = [r for r in corpus.labelled("clinc150") if r["label"] != "oos"]
    kept_out = held_out_intents(r["label"] for r in records)
    pairs = [(r["text"], r["domain"]) for r in records if r["label"] not in kept_out]
    return Family("domains", _by_label(pairs, held_out), 2.0, "request")


def spam(corpus: Corpus, held_out: bool) -> Family:
    """Text messages: spam or normal."""
    pairs = [(r["text"], {"ham": "normal"}.get(r["label"], r["label"])) for r in corpus.labelled("sms_spam")]
    return Family("spam", _by_label(pairs, held_out), 1.0, "message")


def review_feelings(corpus: Corpus, held_out: bool) -> Family:
    """First sentences of reviews written by Llama 3.1, as positive or negative."""
    pairs = []
    for record in corpus.labelled("llm_review_feelings"):
        side = "positive" if record["label"] in POSITIVE else "negative"
        if record["label"] in POSITIVE | NEGATIVE:
            pairs += [(sentence, side) for sentence in re.split(r"(?<=[.!?])\s+|\n", record["text"])[:4]]
    return Family("reviews", _by_label([p for p in pairs if len(p[0]) > 20], held_out, 140), 1.5, "review")


def question_words(corpus: Corpus) -> Family:
    """Questions about fairy tales by question word, from held-out sections. No model is trained on this task."""
    pairs = []
    for record in corpus.labelled("fairytaleqa"):
        first = record["question"].split()[0].lower() if record["question"].split() else ""
        if first in QUESTION_WORDS and is_held_out(record["section"]):
            pairs.append((record["question"], first))
    found: dict[str, list[str]] = defaultdict(list)
    for text, label in pairs:
        found[label].append(" ".join(text.split()))
    return Family("question types", {k: tuple(v) for k, v in sorted(found.items()) if len(v) > 4}, 0, "question")


def word_groups(unseen: bool = False) -> Family:
    """Words by group (animal, food, …); six groups are never trained on."""
    chosen = {g: w for g, w in lexicon.GROUPS.items() if (g in lexicon.HELD_OUT_GROUPS) == unseen}
    return Family("unseen word groups" if unseen else "word groups", chosen, 0.0 if unseen else 5.0, "word")


def sources(corpus: Corpus, names: Mapping[str, str], sentences: int = 4000) -> Family:
    """Sentences by the kind of text they stand in."""
    examples: dict[str, tuple[str, ...]] = {}
    for name, label in names.items():
        if name not in corpus.names():
            continue
        found: list[str] = []
        for document in corpus.documents(name):
            if not is_held_out(document):
                parts = re.split(r"(?<=[.!?])\s+", " ".join(document.split())[:1500])
                found += [s for s in parts if 25 < len(s) < 110 and not is_held_out_sentence(s)][:4]
            if len(found) > sentences:
                break
        if len(found) >= 2:
            examples[label] = tuple(found)
    return Family("kinds of text", examples, 1.0, "sentence")


SOURCE_LABELS = {
    "01_tinystories_slice": "story",
    "05_llm_qa_explain": "facts",
    "08_children_classics_chilit": "novel",
    "09_dialogue_sgd": "dialogue",
}


# --- generated sentences ------------------------------------------------------------------------------------------


def _judgement(words: tuple[str, ...], verb: tuple[str, ...]) -> Callable[[Rng], str]:
    def make(rng: Rng) -> str:
        thing, word = pick(rng, lexicon.THINGS_TO_JUDGE), pick(rng, words)
        who = pick(rng, ("I", "We", "They", pick(rng, lexicon.GIRLS), pick(rng, lexicon.BOYS)))
        forms = (
            f"The {thing} was {word}.",
            f"What {article(word)} {thing}!",
            f"{who} {pick(rng, verb)} the {thing}.",
            f"The {thing} was really {word} and {pick(rng, words)}.",
            f"It was {article(word)} {thing} and {who if who != 'I' else 'I'} {pick(rng, verb)} it.",
            f"This {thing} is {word}, I must say.",
        )
        return pick(rng, forms)

    return make


def sentiment() -> Family:
    """Generated sentences, positive or negative."""
    liked = ("loved", "liked", "enjoyed", "adored")
    disliked = ("hated", "disliked", "did not like", "could not stand")
    make = {"positive": _judgement(lexicon.LIKED, liked), "negative": _judgement(lexicon.DISLIKED, disliked)}
    return Family("sentiment", {}, 2.0, "review", make)


def _about(words: tuple[str, ...]) -> Callable[[Rng], str]:
    def make(rng: Rng) -> str:
        word, name = pick(rng, words), pick(rng, (*lexicon.GIRLS, *lexicon.BOYS))
        forms = (
            f"{name} talked about the {word}.",
            f"{name} saw the {word} again.",
            f"Do you know the word {word}?",
            f"The {word} was in the story.",
            f"{name} thinks of {word} all day.",
            f"My favourite is the {word}.",
        )
        return pick(rng, forms)

    return make


def topics() -> Family:
    """Sentences around a word of a group."""
    names = ("animal", "food", "colour", "clothes", "place", "music", "water", "family", "movement", "sound")
    return Family("topics", {}, 2.0, "sentence", {name: _about(lexicon.GROUPS[name]) for name in names})


def _who(name: str, other: str) -> Callable[[Rng], str]:
    def make(rng: Rng) -> str:
        verb = pick(rng, ("likes", "eats", "wants", "finds", "buys", "carries"))
        thing = pick(rng, (*lexicon.FOODS, *lexicon.TOYS))
        forms = (f"{name} {verb} the {thing}.", f"{other} sees that {name} {verb} the {thing}.")
        return pick(rng, forms)

    return make


def grammar() -> Family:
    """Question or statement, one or many, now or past, small or large number, with or without a name."""

    def plural(index: int) -> Callable[[Rng], str]:
        return lambda rng: (
            f"{pick(rng, ('I see the', 'Look at the', 'We like the', 'Here come the'))} "
            f"{lexicon.PLURALS[int(rng.integers(len(lexicon.PLURALS)))][index]}."
        )

    def tense(index: int) -> Callable[[Rng], str]:
        return lambda rng: (
            f"They {lexicon.PAST[int(rng.integers(len(lexicon.PAST)))][index]} "
            f"{pick(rng, ('with the', 'near the', 'after the'))} {pick(rng, lexicon.ANIMALS)}."
        )

    def question(rng: Rng) -> str:
        told = story(rng)
        return told.questions[int(rng.integers(len(told.questions)))][0]

    make: dict[str, Callable[[Rng], str]] = {
        "one": plural(0),
        "many": plural(1),
        "now": tense(0),
        "past": tense(1),
        "question": question,
        "statement": lambda rng: pick(rng, story(rng).text.replace("!", ".").split(". ")[1:]).rstrip(".") + ".",
        "small number": lambda rng: str(int(rng.integers(0, 10))),
        "large number": lambda rng: str(int(rng.integers(100, 10000))),
    }
    return Family("grammar", {}, 1.5, "sentence", make)


GRAMMAR_PAIRS = (("one", "many"), ("now", "past"), ("question", "statement"), ("small number", "large number"))


def people(rng: Rng) -> Family:
    """Sentences by whom they are about; the two or three people are drawn anew for each episode."""
    names = [pick(rng, lexicon.GIRLS), pick(rng, lexicon.BOYS)]
    make = {names[0]: _who(names[0], names[1]), names[1]: _who(names[1], names[0])}
    return Family("people", {}, 1.0, "sentence", make)


def trained_families(corpus: Corpus, llama: bool = True) -> tuple[Family, ...]:
    """The families the decoder is trained on (``llama=False``: without those that hold text by Llama)."""
    names = {n: label for n, label in SOURCE_LABELS.items() if llama or n != "05_llm_qa_explain"}
    families = [
        word_groups(),
        sentiment(),
        topics(),
        grammar(),
        clinc_intents(corpus, held_out=False),
        clinc_domains(corpus, held_out=False),
        spam(corpus, held_out=False),
        sources(corpus, names),
    ]
    if llama:
        families.append(review_feelings(corpus, held_out=False))
    return tuple(family for family in families if len(family.labels) >= 2)


def labels_of(family: Family, rng: np.random.Generator, count: int) -> list[str]:
    """``count`` labels that are told apart in one episode."""
    if family.name == "grammar":
        return list(GRAMMAR_PAIRS[int(rng.integers(len(GRAMMAR_PAIRS)))])
    chosen = rng.choice(len(family.labels), size=min(count, len(family.labels)), replace=False)
    return [family.labels[int(index)] for index in chosen]
