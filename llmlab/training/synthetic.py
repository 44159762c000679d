"""Generated text: short stories with facts to keep track of, questions about them, chats, lists, brackets, copies.

Every piece says which of its characters are an answer that can be known from what stands before (``spans``), so
that the loss can weigh them more. Everything is drawn from a ``numpy`` generator and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from llmlab.training import lexicon
from llmlab.training.draw import Rng, article, pick, several
from llmlab.training.stories import story
from llmlab.training.tokenizer import ASSISTANT, END, USER


@dataclass(frozen=True, slots=True)
class Piece:
    """A text and the character ranges of the answers in it. ``text[a:b]`` is an answer for each ``(a, b)``.

    ``background`` is the loss weight of all other characters.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    background: float = 0.1


@dataclass(slots=True)
class Writer:
    """Builds a piece bit by bit."""

    parts: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    length: int = 0

    def say(self, text: str) -> Writer:
        """Append text."""
        self.parts.append(text)
        self.length += len(text)
        return self

    def answer(self, text: str) -> Writer:
        """Append text that is an answer."""
        self.spans.append((self.length, self.length + len(text)))
        return self.say(text)

    @property
    def text(self) -> str:
        """Everything said so far."""
        return "".join(self.parts)

    def piece(self, background: float = 0.1) -> Piece:
        """The finished piece."""
        return Piece(self.text, tuple(self.spans), background)


# --- pieces -------------------------------------------------------------------------------------------------------


def story_questions(rng: Rng) -> Piece:
    """A story and up to four questions, in the form used by the fairy-tale questions."""
    told = story(rng)
    writer = Writer().say(told.text + "\n")
    for index in rng.permutation(len(told.questions))[: int(rng.integers(1, 5))]:
        question, answer = told.questions[int(index)]
        writer.say(f"Question: {question}\nAnswer:").answer(f" {answer}").say("\n")
    return writer.piece(0.3)


def story_summary(rng: Rng) -> Piece:
    """A story and its summary in one sentence."""
    told = story(rng)
    return Writer().say(f"{told.text}\nSummary:").answer(f" {told.summary}").say("\n").piece(0.3)


def plain_story(rng: Rng) -> Piece:
    """A story alone."""
    return Piece(story(rng).text + "\n", (), 0.3)


def places_of_things(rng: Rng) -> Piece:
    """Facts of one form in random order, then questions: recall by association."""
    count = int(rng.integers(2, 7))
    things, spots = several(rng, lexicon.TOYS, count), several(rng, lexicon.PLACES, count)
    writer = Writer()
    for thing, spot in zip(things, spots, strict=True):
        writer.say(f"The {thing} is in the {spot}. ")
    writer.say("\n")
    for index in rng.permutation(count)[: int(rng.integers(1, count + 1))]:
        writer.say(f"Where is the {things[index]}? In the").answer(f" {spots[index]}").say(".\n")
    return writer.piece()


def owners_of_things(rng: Rng) -> Piece:
    """Who has what, then questions in both directions."""
    count = int(rng.integers(2, 6))
    names, things = several(rng, (*lexicon.GIRLS, *lexicon.BOYS), count), several(rng, lexicon.TOYS, count)
    colours = several(rng, lexicon.COLOURS, count)
    writer = Writer()
    for name, thing, colour in zip(names, things, colours, strict=True):
        writer.say(f"{name} has {article(colour)} {thing}. ")
    writer.say("\n")
    for index in rng.permutation(count):
        if rng.random() < 0.5:
            writer.say(f"Who has the {things[index]}?").answer(f" {names[index]}").say("\n")
        else:
            writer.say(f"What does {names[index]} have?").answer(f" {article(colours[index])} {things[index]}")
            writer.say("\n")
    return writer.piece()


def copy_words(rng: Rng) -> Piece:
    """Random words, once and again."""
    pool = [word for group in lexicon.GROUPS.values() for word in group]
    text = " ".join(several(rng, pool, int(rng.integers(3, 12))))
    form = pick(rng, ("Say: {}\nAgain:", "{}\n", "Copy this: {}\nCopy:", "{} |", "Repeat after me: {}\n"))
    writer = Writer().say(form.format(text))
    for _ in range(int(rng.integers(1, 3))):
        writer.answer(f" {text}").say("\n")
    return writer.piece()


def list_continued(rng: Rng) -> Piece:
    """Days, months, numbers, letters, even numbers, cycles of words."""
    joint = pick(rng, (", ", " ", "\n", " - "))
    shape = rng.random()
    if shape < 0.4:
        base = lexicon.LISTS[int(rng.integers(len(lexicon.LISTS)))]
        begin = int(rng.integers(0, max(1, len(base) - 4)))
        items = list(base[begin:])
    elif shape < 0.7:
        begin, step = int(rng.integers(0, 50)), int(rng.choice([1, 1, 1, 2, 5, 10]))
        items = [str(begin + step * i) for i in range(int(rng.integers(5, 14)))]
    else:
        cycle = several(rng, lexicon.GROUPS[pick(rng, tuple(lexicon.GROUPS))], int(rng.integers(2, 4)))
        items = cycle * int(rng.integers(3, 6))
    known = 2 if shape < 0.7 else len(set(items))
    writer = Writer().say(items[0])
    for position, item in enumerate(items[1:], start=1):
        writer.say(joint.rstrip(" ")) if joint != " " else None
        gap = " " if joint.endswith(" ") else ""
        (writer.answer if position >= known else writer.say)(gap + item)
    return writer.say("\n").piece()


def brackets(rng: Rng) -> Piece:
    """Balanced brackets of three kinds; each closing one is an answer."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    writer = Writer()
    stack: list[str] = []
    length = int(rng.integers(6, 30))
    for position in range(length):
        close = stack and (rng.random() < 0.5 or len(stack) >= length - position or len(stack) > 5)
        if close:
            writer.answer(f" {pairs[stack.pop()]}")
        else:
            stack.append(pick(rng, tuple(pairs)))
            writer.say(f" {stack[-1]}")
    while stack:
        writer.answer(f" {pairs[stack.pop()]}")
    return writer.say("\n").piece(0.05)


def agreement(rng: Rng) -> Piece:
    """Verbs that agree with a subject some words away, not with the noun beside them."""
    writer = Writer()
    for _ in range(int(rng.integers(2, 6))):
        one, many = lexicon.PLURALS[int(rng.integers(len(lexicon.PLURALS)))]
        near = lexicon.PLURALS[int(rng.integers(len(lexicon.PLURALS)))][int(rng.integers(2))]
        plural = rng.random() < 0.5
        link = pick(rng, ("near the", "behind the", "with the", "next to the"))
        verb = pick(rng, ("are/is", "were/was", "have/has", "like/likes")).split("/")
        writer.say(f"The {many if plural else one} {link} {near}").answer(f" {verb[0] if plural else verb[1]}")
        ending = {"have": "two friends", "like": "the sun"}.get(verb[0], pick(rng, lexicon.SIZES[:5]))
        writer.say(f" {ending}. ")
    return writer.say("\n").piece()


def sums(rng: Rng) -> Piece:
    """Sums of one-digit numbers."""
    writer = Writer()
    for _ in range(int(rng.integers(3, 9))):
        a, b = int(rng.integers(0, 10)), int(rng.integers(0, 10))
        writer.say(f"{a} + {b} =").answer(f" {a + b}").say("\n")
    return writer.piece()


# --- chats --------------------------------------------------------------------------------------------------------

Turn = tuple[str, str]


def _turns(rng: Rng) -> list[Turn]:
    """(user, assistant) pairs of one short conversation."""
    kinds = (_about_story, _remember_name, _say_again, _tell_story, _small_talk, _classify_word, _remember_place)
    return kinds[int(rng.integers(len(kinds)))](rng)


def _about_story(rng: Rng) -> list[Turn]:
    told = story(rng)
    chosen = [told.questions[int(i)] for i in rng.permutation(len(told.questions))[:2]]
    first = pick(rng, ("Read this story and answer. ", "", "Here is a story. ")) + f"{told.text}\n{chosen[0][0]}"
    return [(first, chosen[0][1]), chosen[1]]


def _remember_name(rng: Rng) -> list[Turn]:
    name, friend = several(rng, (*lexicon.GIRLS, *lexicon.BOYS), 2)
    hello = pick(rng, ("Hello", "Hi", "Good morning"))
    greeting = f"{hello}, {name}! How can I help you?"
    ask = pick(rng, (("What is my name?", f"Your name is {name}."), ("What is my friend's name?", f"{friend}.")))  # type: ignore[arg-type]
    return [(f"{hello}! My name is {name} and my friend is {friend}.", greeting), ask]  # type: ignore[list-item]


def _say_again(rng: Rng) -> list[Turn]:
    pool = [word for group in lexicon.GROUPS.values() for word in group]
    turns = []
    for _ in range(2):
        text = " ".join(several(rng, pool, int(rng.integers(2, 6))))
        turns.append((pick(rng, ("Say: {}", "Repeat after me: {}", "Please say {}")).format(text), text))
    return turns


def _tell_story(rng: Rng) -> list[Turn]:
    told = story(rng)
    question, answer = told.questions[int(rng.integers(len(told.questions)))]
    ask = pick(rng, ("Tell me a story.", "Can you tell me a short story?", "I want to hear a story."))
    return [(ask, told.text), (question, answer)]


def _small_talk(rng: Rng) -> list[Turn]:
    known: list[Turn] = [
        ("What is the opposite of {a}?", "The opposite of {a} is {b}."),
        ("Hello!", "Hello! How are you today?"),
        ("How are you?", "I am fine, thank you. How are you?"),
        ("Who are you?", "I am a very small language model. I like stories."),
        ("Thank you!", "You are welcome!"),
        ("Good night.", "Good night! Sleep well."),
        ("What can you do?", "I can tell stories and answer easy questions."),
    ]
    turns = []
    for index in rng.permutation(len(known))[:2]:
        a, b = lexicon.OPPOSITES[int(rng.integers(len(lexicon.OPPOSITES)))]
        question, answer = known[int(index)]
        turns.append((question.format(a=a), answer.format(a=a, b=b)))
    return turns


def _classify_word(rng: Rng) -> list[Turn]:
    groups = [group for group in lexicon.GROUPS if group not in lexicon.HELD_OUT_GROUPS]
    turns = []
    for _ in range(2):
        first, second = several(rng, groups, 2)
        right = pick(rng, (first, second))
        word = pick(rng, lexicon.GROUPS[right])
        turns.append((f"Is {word} {article(first)} or {article(second)}?", f"{word.capitalize()} is {article(right)}."))
    return turns


def _remember_place(rng: Rng) -> list[Turn]:
    things, spots = several(rng, lexicon.TOYS, 3), several(rng, lexicon.PLACES, 3)
    facts = " ".join(f"The {a} is in the {b}." for a, b in zip(things, spots, strict=True))
    order = [int(i) for i in rng.permutation(3)]
    first = (f"{facts} Where is the {things[order[0]]}?", f"The {things[order[0]]} is in the {spots[order[0]]}.")
    return [first, (f"And the {things[order[1]]}?", f"The {things[order[1]]} is in the {spots[order[1]]}.")]


def chat(rng: Rng) -> Piece:
    """Two turns in the form of the tokenizer's chat template (without the first token)."""
    writer = Writer()
    for user, assistant in _turns(rng):
        writer.say(f"{USER}\n{user}{END}\n{ASSISTANT}\n").answer(f"{assistant}{END}").say("\n")
    return writer.piece()


SKILLS: tuple[tuple[float, Callable[[Rng], Piece]], ...] = (
    (3.0, story_questions),
    (1.5, story_summary),
    (1.0, plain_story),
    (1.5, places_of_things),
    (1.5, owners_of_things),
    (2.0, copy_words),
    (1.5, list_continued),
    (0.7, brackets),
    (0.7, agreement),
    (0.4, sums),
    (3.0, chat),
)


def skill(rng: Rng) -> Piece:
    """A piece of a random kind."""
    weights = np.array([weight for weight, _ in SKILLS])
    return SKILLS[int(rng.choice(len(SKILLS), p=weights / weights.sum()))][1](rng)
