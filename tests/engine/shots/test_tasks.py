"""Task files of lm-evaluation-harness render byte for byte as the harness composes them.

The expected strings are put together here, by hand, from the composition as it is documented: description, then for
each shot question + target delimiter + answer + few-shot delimiter, then the question.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llmlab.engine import datasets
from llmlab.engine.datasets import Format
from llmlab.engine.shots.compose import compose

TASKS = Path(__file__).parent / "tasks"


def _joined(
    description: str, shots: list[tuple[str, str]], query: str, target: str = " ", fewshot: str = "\n\n"
) -> str:
    text = description
    for question, answer in shots:
        text += question + target + answer + fewshot
    return text + query


EXPECTED = {
    "mood": _joined(
        "Say how the speaker feels.\n\n",
        [("Sentence: The soup was cold again.\nMood:", "No"), ("Sentence: What a lovely morning!\nMood:", "Yes")],
        'Sentence: He said: "never".\nMood:',
    ),
    "capital": _joined(
        "", [("Q: The capital of NORWAY?  ", "Oslo.")], "Q: The capital of CÔTE D'IVOIRE?  ", "\nA: ", "\n###\n"
    ),
    "piece": _joined(
        "Choose the ending.\n", [("A cat sat on the", " mat.")], "Two and two make", target="", fewshot="\n"
    ),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_prompts_are_those_of_the_harness(name: str) -> None:
    task = datasets.read(TASKS / f"{name}.yaml")
    assert task.format is Format.HARNESS
    *shots, query = task.examples()
    rendered = compose(task.drafts[0].spec, shots, query)
    assert rendered.text.encode() == EXPECTED[name].encode()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_without_shots_only_description_and_question_remain(name: str) -> None:
    task = datasets.read(TASKS / f"{name}.yaml")
    query = task.examples()[-1]
    text = compose(task.drafts[0].spec, (), query).text
    assert EXPECTED[name].startswith(text[:5])
    assert EXPECTED[name].endswith(text.removeprefix(task.drafts[0].spec.instruction))


def test_labels_stay_text_and_numbers_become_labels() -> None:
    task = datasets.read(TASKS / "mood.yaml")
    assert task.drafts[0].spec.labels == ("No", "Yes")  # YAML would make them False and True
    assert [example.output for example in task.examples()] == ["No", "Yes", "No"]


def test_an_item_may_have_choices_of_its_own() -> None:
    task = datasets.read(TASKS / "piece.yaml")
    first, second = task.examples()
    assert (first.choices, first.output) == ((" mat.", " moon rocket."), " mat.")
    assert (second.choices, second.output) == ((" five.", " four."), " four.")


def test_what_the_task_file_refers_to_is_told() -> None:
    texts = " ".join(note.text for note in datasets.read(TASKS / "mood.yaml").notes)
    assert "our/moods" in texts
    assert "not fetched" in texts
