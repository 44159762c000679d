"""Generated text: short stories with facts to keep track of, questions about them, chats, lists, brackets, copies.

Every piece says which of its characters are an answer that can be known from what stands before (``spans``), so
that the loss can weigh them more. Everything is drawn from a ``numpy`` generator and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from llmlab.training import lexicon
from llmlab.training.tokenizer import ASSISTANT, END, USER

Rng = np.random.Generator


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


def pick(rng: Rng, items: Sequence[str]) -> str:
    """One item, each equally likely."""
    return items[int(rng.integers(len(items)))]


def several(rng: Rng, items: Sequence[str], count: int) -> list[str]:
    """``count`` different items."""
    return [items[int(i)] for i in rng.choice(len(items), size=min(count, len(items)), replace=False)]


def article(word: str) -> str:
    """The word with "a" or "an"."""
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


@dataclass(frozen=True, slots=True)
class Story:
    """A short story, a one-sentence summary, and (question, answer) pairs that it settles."""

    text: str
    summary: str
    questions: tuple[tuple[str, str], ...]


def story(rng: Rng) -> Story:
    """One of a few plots with names, things, colours and places drawn at random."""
    plots = (_lost_and_found, _gift, _pet, _meal, _trip)
    return plots[int(rng.integers(len(plots)))](rng)


def _child(rng: Rng) -> tuple[str, str, str, str, str]:
    """(name, kind, subject pronoun, object pronoun, possessive)."""
    if rng.random() < 0.5:
        return pick(rng, lexicon.GIRLS), "girl", "she", "her", "her"
    return pick(rng, lexicon.BOYS), "boy", "he", "him", "his"


def _opening(rng: Rng, name: str, kind: str) -> str:
    forms = (
        f"Once upon a time, there was a {pick(rng, ('little', 'kind', 'brave', 'small'))} {kind} named {name}.",
        f"One day, a {kind} named {name} was bored.",
        f"{name} was a {pick(rng, ('happy', 'clever', 'little', 'shy'))} {kind}.",
        f"There once was a {kind} called {name}.",
    )
    return pick(rng, forms)


def _ending(rng: Rng, name: str, friend: str, place: str) -> tuple[str, str]:
    feeling = pick(rng, ("happy", "proud", "tired", "excited", "glad"))
    forms = (
        f"{name} was very {feeling} that day.",
        f"When they went home, {name} felt {feeling}.",
        f"{name} and {friend} played in the {place} until the sun went down, and {name} felt {feeling}.",
    )
    return pick(rng, forms), feeling


def _lost_and_found(rng: Rng) -> Story:
    name, kind, he, him, his = _child(rng)
    friend = pick(rng, [n for n in (*lexicon.GIRLS, *lexicon.BOYS) if n != name])
    colour, toy = pick(rng, lexicon.COLOURS), pick(rng, lexicon.TOYS)
    place, spot = several(rng, lexicon.PLACES, 2)
    where = pick(rng, ("under a tree", "behind a rock", "in the grass", "near the gate", "under the table"))
    end, feeling = _ending(rng, name, friend, place)
    lines = [
        _opening(rng, name, kind),
        pick(rng, (f"{name} had a {colour} {toy}.", f"{name} loved {his} {colour} {toy} very much.")),
        pick(rng, (f"One day {he} took the {toy} to the {place}.", f"{he.title()} carried it to the {place}.")),
        f"But then {he} lost the {toy}.",
        f"{name} looked in the {spot}, but it was not there.",
        pick(rng, (f"{he.title()} began to cry.", f'"Where is my {toy}?" {he} asked.')),
        f"{friend} came and wanted to help {him}.",
        f"Together they looked everywhere, and {friend} found the {toy} {where}.",
        f'"Thank you, {friend}!" said {name}.',
        end,
    ]
    questions = (
        (f"What did {name} lose?", f"{his.title()} {colour} {toy}."),
        (f"What colour was the {toy}?", f"{colour.title()}."),
        (f"Who found the {toy}?", f"{friend}."),
        (f"Where was the {toy}?", f"{where[0].upper()}{where[1:]}."),
        (f"Where did {name} take the {toy}?", f"To the {place}."),
        (f"How did {name} feel?", f"{feeling.title()}."),
    )
    return Story(" ".join(lines), f"{name} lost {his} {colour} {toy} and {friend} found it {where}.", questions)


def _gift(rng: Rng) -> Story:
    name, kind, he, him, his = _child(rng)
    friend = pick(rng, [n for n in (*lexicon.GIRLS, *lexicon.BOYS) if n != name])
    size, toy = pick(rng, lexicon.SIZES), pick(rng, lexicon.TOYS)
    day, place = pick(rng, lexicon.GROUPS["day"]), pick(rng, lexicon.PLACES)
    end, feeling = _ending(rng, name, friend, place)
    giver = pick(rng, ("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    lines = [
        _opening(rng, name, kind),
        pick(rng, (f"On {day} it was {his} birthday.", f"{his.title()} birthday was on {day}.")),
        f"{his.title()} {giver} gave {him} {article(size)} {toy}.",
        pick(rng, (f'"I love it!" said {name}.', f"{name} smiled and said thank you.")),
        f"Then {he} went to the {place} to show it to {friend}.",
        pick(rng, (f'"Can I play too?" asked {friend}.', f"{friend} liked the {toy} too.")),
        f"{name} shared the {toy} with {friend}.",
        end,
    ]
    questions = (
        (f"Who gave {name} the {toy}?", f"{his.title()} {giver}."),
        (f"What did {name} get?", f"{article(size).capitalize()} {toy}."),
        (f"When was {name}'s birthday?", f"On {day}."),
        (f"Where did {name} go?", f"To the {place}."),
        (f"Who did {name} share the {toy} with?", f"{friend}."),
        (f"How did {name} feel?", f"{feeling.title()}."),
    )
    return Story(" ".join(lines), f"{name} got {article(size)} {toy} and shared it with {friend}.", questions)


def _pet(rng: Rng) -> Story:
    name, kind, he, him, _ = _child(rng)
    friend = pick(rng, [n for n in (*lexicon.GIRLS, *lexicon.BOYS) if n != name])
    animal, colour, food = pick(rng, lexicon.ANIMALS), pick(rng, lexicon.COLOURS), pick(rng, lexicon.FOODS)
    pet, place = (
        pick(rng, ("Spot", "Coco", "Fluffy", "Buddy", "Star", "Pip", "Toto", "Bella")),
        pick(rng, lexicon.PLACES),
    )
    end, feeling = _ending(rng, name, friend, place)
    lines = [
        _opening(rng, name, kind),
        f"In the {place} {he} met {article(colour)} {animal}.",
        pick(rng, (f"The {animal} was hungry.", f"The {animal} looked sad and hungry.")),
        f"{name} gave the {animal} some {food}.",
        f"The {animal} ate the {food} and followed {him} home.",
        f"{name} called the {animal} {pet}.",
        pick(rng, (f'"Can we keep {pet}?" {he} asked.', f"{friend} came to see {pet}.")),
        f"From then on, {name}, {friend} and {pet} were friends.",
        end,
    ]
    questions = (
        (f"What animal did {name} meet?", f"{article(colour).capitalize()} {animal}."),
        (f"What did {name} give the {animal}?", f"Some {food}."),
        (f"What was the {animal}'s name?", f"{pet}."),
        (f"Where did {name} meet the {animal}?", f"In the {place}."),
        (f"What colour was the {animal}?", f"{colour.title()}."),
        (f"How did {name} feel?", f"{feeling.title()}."),
    )
    summary = f"{name} met a hungry {animal} in the {place}, fed it {food} and called it {pet}."
    return Story(" ".join(lines), summary, questions)


def _meal(rng: Rng) -> Story:
    name, kind, he, him, _ = _child(rng)
    friend = pick(rng, [n for n in (*lexicon.GIRLS, *lexicon.BOYS) if n != name])
    first, second, third = several(rng, lexicon.FOODS, 3)
    place, feeling = pick(rng, lexicon.PLACES), pick(rng, ("happy", "sleepy", "full", "glad", "calm"))
    lines = [
        _opening(rng, name, kind),
        pick(rng, (f"{he.title()} wanted to make a meal for {friend}.", f"{friend} was coming to visit {him}.")),
        f"{name} went to the {place} and bought {first}, {second} and {third}.",
        f"First {he} cooked the {first}.",
        f"Then {he} put the {second} on the table.",
        pick(rng, (f'"This smells good," said {friend}.', f"{friend} came in and sat down.")),
        f"{friend} liked the {third} best.",
        f"After the meal they were both {feeling}.",
    ]
    questions = (
        (f"What did {name} cook?", f"The {first}."),
        (f"What did {name} put on the table?", f"The {second}."),
        (f"What did {friend} like best?", f"The {third}."),
        (f"Who came to eat with {name}?", f"{friend}."),
        (f"Where did {name} buy the food?", f"In the {place}."),
        ("How did they feel after the meal?", f"{feeling.title()}."),
    )
    return Story(" ".join(lines), f"{name} made a meal with {first} and {second} for {friend}.", questions)


def _trip(rng: Rng) -> Story:
    name, kind, he, _, _ = _child(rng)
    friend = pick(rng, [n for n in (*lexicon.GIRLS, *lexicon.BOYS) if n != name])
    place, vehicle = pick(rng, lexicon.PLACES), pick(rng, ("bus", "train", "boat", "bike", "car", "wagon"))
    animal, weather = pick(rng, lexicon.ANIMALS), pick(rng, ("sunny", "rainy", "windy", "snowy", "cold", "warm"))
    count = pick(rng, ("two", "three", "four", "five", "six", "ten"))
    end, feeling = _ending(rng, name, friend, place)
    lines = [
        _opening(rng, name, kind),
        f"It was a {weather} day, and {he} wanted to see the {place}.",
        f"{name} and {friend} went there by {vehicle}.",
        f"In the {place} they saw {count} {animal}s."
        if not animal.endswith(("sh", "x", "se", "deer", "sheep"))
        else f"In the {place} they saw {article(animal)}.",
        pick(rng, (f'"Look!" said {friend}.', f"{friend} laughed and pointed.")),
        f"Then {name} was hungry, so they ate {pick(rng, lexicon.FOODS)} together.",
        end,
    ]
    questions = (
        (f"How did {name} and {friend} travel?", f"By {vehicle}."),
        ("Where did they go?", f"To the {place}."),
        (f"Who went with {name}?", f"{friend}."),
        ("What was the weather like?", f"It was {weather}."),
        (f"How did {name} feel?", f"{feeling.title()}."),
    )
    return Story(" ".join(lines), f"{name} and {friend} went to the {place} by {vehicle}.", questions)


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
