"""Short generated stories with names, things, colours and places to keep track of, and questions they settle."""

from __future__ import annotations

from dataclasses import dataclass

from llmlab.training import lexicon
from llmlab.training.draw import Rng, article, pick, several


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
