"""In-context-learning episodes: a task shown by an instruction and shots, answered item after item.

Labels are sometimes the natural ones and sometimes arbitrary words, so that the shots have to be read. Some items
repeat an earlier one exactly: they are the easiest reason to look back, and come first in the curriculum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmlab.training import lexicon
from llmlab.training.draw import Rng, pick, several
from llmlab.training.families import Family, labels_of, natural, people
from llmlab.training.synthetic import Piece, Writer
from llmlab.training.tokenizer import ASSISTANT, END, USER


@dataclass(frozen=True, slots=True)
class Template:
    """``item.format(x=…)`` stands before the label, ``after`` follows it."""

    item: str
    after: str = "\n"


TEMPLATES: tuple[Template, ...] = (
    Template("Input: {x}\nLabel:", "\n\n"),
    Template("Text: {x}\nLabel:", "\n\n"),
    Template("Text: {x}\nLabel:"),
    Template("Input: {x}\nOutput:", "\n\n"),
    Template("Input: {x}\nOutput:"),
    Template("{N}: {x}\nClass:", "\n\n"),
    Template("{N}: {x}\nType:"),
    Template("{N}: {x}\nCategory:", "\n\n"),
    Template("{N}: {x}\nLabel:"),
    Template("{N}: {x}\nAnswer:", "\n\n"),
    Template("Q: {x}\nA:", "\n"),
    Template("Q: {x}\nA:", "\n\n"),
    Template("{x} ->"),
    Template("{x} =>"),
    Template("{x} ="),
    Template("{x}:"),
    Template("{x} |"),
    Template("- {x}:"),
    Template("* {x} ->"),
    Template("{x} is", ".\n"),
    Template('"{x}" means', ".\n"),
    Template("{N}: {x} Topic:"),
    Template("Example: {x}\nAnswer:", "\n\n"),
    Template("Sentence: {x}\nSentiment:", "\n\n"),
    Template("{x}\n", "\n\n"),
)
COMMON_TEMPLATES = (TEMPLATES[0], TEMPLATES[2], TEMPLATES[8], TEMPLATES[12], TEMPLATES[15])
INSTRUCTIONS = (
    "Classify each {n} as {labels}.\n",
    "Classify the {n}. Labels: {list}.\n\n",
    "Choose the right label: {labels}.\n\n",
    "Is it {labels}?\n",
    "Answer with {labels}.\n\n",
    "Labels: {list}\n",
    "Sort each {n} into {list}.\n\n",
    "Decide whether the {n} is {labels}.\n",
)
LABEL_WORDS_HELD_OUT = 10  # every tenth arbitrary label word is kept for measuring


@dataclass(frozen=True, slots=True)
class Mix:
    """How episodes are drawn at one moment of the curriculum.

    ``repeats`` is the chance that an item repeats an earlier one; ``arbitrary`` that labels are arbitrary words;
    ``lookups`` and ``mappings`` are the shares of episodes that pair arbitrary words or map words by a rule.
    """

    repeats: float = 0.4
    arbitrary: float = 0.5
    instructed: float = 0.5
    lookups: float = 0.20
    mappings: float = 0.10
    most_items: int = 16


def instruction(template: str, noun: str, labels: Sequence[str]) -> str:
    """The instruction with its labels filled in, as "a, b or c" and as "a, b, c"."""
    either = ", ".join(labels[:-1]) + " or " + labels[-1]
    return template.format(n=noun, labels=either, list=", ".join(labels))


def arbitrary_words(single_token_words: Sequence[str], held_out: bool) -> tuple[str, ...]:
    """The arbitrary label words for training, or those kept for measuring."""
    return tuple(
        word for index, word in enumerate(single_token_words) if (index % LABEL_WORDS_HELD_OUT == 0) == held_out
    )


def render(items: Sequence[tuple[str, str]], template: Template, noun: str, opening: str, chat: bool = False) -> Piece:
    """Lay out (text, label) items; every label that could be known from what stands before it is an answer.

    With ``chat`` the last item is asked by the user and answered by the assistant.
    """
    writer = Writer().say(f"{USER}\n" if chat else "").say(opening)
    seen = opening
    for index, (text, label) in enumerate(items):
        last = index == len(items) - 1
        before = template.item.format(x=text, N=noun.capitalize())
        writer.say(before)
        gap = "" if before.endswith("\n") else " "
        if chat and last:
            writer.say(f"{END}\n{ASSISTANT}\n").answer(label + END).say("\n")
        else:
            known = label in seen
            (writer.answer if known else writer.say)(gap + label)
            writer.say(template.after)
        seen += f" {label}"
    return writer.piece()


def _items(rng: Rng, family: Family, labels: Sequence[str], count: int, repeats: float) -> list[tuple[str, str]]:
    """``count`` items with labels drawn evenly; some repeat an earlier item of their label."""
    items: list[tuple[str, str]] = []
    for _ in range(count):
        label = labels[int(rng.integers(len(labels)))]
        earlier = [item for item in items if item[1] == label]
        repeat = earlier and rng.random() < repeats
        items.append(earlier[int(rng.integers(len(earlier)))] if repeat else (family.text(rng, label), label))
    return items


def _template(rng: Rng) -> Template:
    """One of the few common templates, or any."""
    choices = COMMON_TEMPLATES if rng.random() < 0.6 else TEMPLATES
    return choices[int(rng.integers(len(choices)))]


class EpisodeMaker:
    """Draws episodes from families; ``label_words`` are the arbitrary labels."""

    def __init__(self, families: Sequence[Family], label_words: Sequence[str]) -> None:
        self.families = tuple(families)
        self.label_words = tuple(label_words)
        total = sum(family.weight for family in self.families)
        self._shares = [family.weight / total for family in self.families]

    def draw(self, rng: Rng, mix: Mix) -> Piece:
        """One episode: classification, or a mapping of words."""
        kind = rng.random()
        if kind < mix.mappings:
            return self._mapping(rng)
        if kind < mix.mappings + mix.lookups:
            return self._pairs(rng)
        family = people(rng) if kind > 0.95 else self._family(rng)
        return self._classification(rng, family, mix)

    def _family(self, rng: Rng) -> Family:
        return self.families[int(rng.choice(len(self.families), p=self._shares))]

    def _classification(self, rng: Rng, family: Family, mix: Mix) -> Piece:
        labels = labels_of(family, rng, int(rng.choice([2, 2, 2, 3, 4, 5])))
        names = self._names(rng, labels, rng.random() < mix.arbitrary)
        longest = mix.most_items if family.noun == "word" else max(6, mix.most_items * 5 // 8)
        count = int(rng.integers(1, longest + 1)) if rng.random() < 0.2 else int(rng.integers(5, longest + 1))
        items = [(text, names[label]) for text, label in _items(rng, family, labels, count, mix.repeats)]
        told = rng.random() < mix.instructed
        listed = [names[label] for label in labels]
        opening = instruction(pick(rng, INSTRUCTIONS), family.noun, listed) if told else ""
        template = _template(rng)
        return render(items, template, family.noun, opening, chat=rng.random() < 0.08)

    def _names(self, rng: Rng, labels: Sequence[str], arbitrary: bool) -> dict[str, str]:
        if not arbitrary:
            return {label: natural(label) for label in labels}
        style = rng.random()
        if style < 0.1:
            words: Sequence[str] = "ABCDE"
        elif style < 0.15:
            words = "12345"
        elif style < 0.25:  # natural labels, exchanged
            shuffled = [natural(label) for label in several(rng, list(labels), len(labels))]
            words = shuffled[1:] + shuffled[:1]
        else:
            words = several(rng, self.label_words, len(labels))
        return dict(zip(labels, words, strict=False))

    def _pairs(self, rng: Rng) -> Piece:
        """Arbitrary words with arbitrary labels that recur: pure look-up."""
        count = int(rng.integers(2, 7))
        keys, values = several(rng, self.label_words, count), several(rng, self.label_words, count)
        order = [int(index) for index in rng.integers(0, count, size=int(rng.integers(6, 20)))]
        template = _template(rng)
        return render([(keys[i], values[i]) for i in order], template, "word", "")

    def _mapping(self, rng: Rng) -> Piece:
        """Opposites, plurals, past tense, young animals, capitals, last word: the same rule for every item."""
        rules = (
            lambda: (lexicon.OPPOSITES, "opposite"),
            lambda: (lexicon.PLURALS, "plural"),
            lambda: (lexicon.PAST, "past"),
            lambda: (lexicon.BABY_ANIMALS, "baby animal"),
            lambda: ([(w, w.upper()) for w in several(rng, lexicon.ANIMALS, 12)], "capitals"),
            lambda: ([(w, w) for w in several(rng, self.label_words, 12)], "same word"),
            lambda: (_last_words(rng, self.label_words), "last word"),
        )
        pairs, noun = rules[int(rng.integers(len(rules)))]()
        order = rng.permutation(len(pairs))[: int(rng.integers(3, 11))]
        turn = rng.random() < 0.3
        items = [(pairs[int(i)][1], pairs[int(i)][0]) if turn else (pairs[int(i)][0], pairs[int(i)][1]) for i in order]
        template = _template(rng)
        opening = pick(rng, ("", "", f"Give the {noun}.\n")) if not turn else ""
        piece = render(items, template, "word", opening)
        return _all_answers(piece, items, template)


def _last_words(rng: Rng, pool: Sequence[str]) -> list[tuple[str, str]]:
    lines = [several(rng, pool, 3) for _ in range(10)]
    return [(" ".join(line), line[-1]) for line in lines]


def _all_answers(piece: Piece, items: Sequence[tuple[str, str]], template: Template) -> Piece:
    """Mark every output after the second: the rule, not a seen label, makes it known."""
    spans, position = [], 0
    for index, (text, label) in enumerate(items):
        position = piece.text.index(template.item.format(x=text, N="Word"), position)
        begin = position + len(template.item.format(x=text, N="Word"))
        end = begin + len(label) + (0 if piece.text[begin - 1] == "\n" else 1)
        if index >= 2:
            spans.append((begin, end))
        position = end
    return Piece(piece.text, tuple(spans), piece.background)
