"""Examples and a query become a prompt, exactly as lm-evaluation-harness composes it. No torch.

Text form: instruction + Σ(question + target_delimiter + answer + fewshot_delimiter) + question, nothing stripped
(lm_eval/api/task.py, `fewshot_context`, and lm_eval/api/samplers.py, `get_context`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmlab.engine.errors import InputError
from llmlab.engine.shots import templates
from llmlab.engine.shots.templates import Renderer
from llmlab.engine.shots.types import Example, Form, InstructionRole, Part, PartKind, PromptSpec, Rendered, Syntax

MASK = "mask"  # the field that says where the answer stands in the cloze form
_SLOT = "\ue000"  # stands for the mask while a template is rendered


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `kind` and `shot` are those of the part that it becomes."""

    role: str  # system, user or assistant
    content: str
    kind: PartKind
    shot: int | None = None


def included(shots: Sequence[Example]) -> list[int]:
    """The places of the shots that are ticked."""
    return [place for place, shot in enumerate(shots) if shot.included]


class Composer:
    """Composes prompts of one kind; what was rendered once is not rendered again. Raises InputError.

    `mask` is the text of the model's mask, which the cloze form puts where the query's answer stands.
    """

    def __init__(self, spec: PromptSpec, mask: str = "") -> None:
        self.spec = spec
        self._mask = mask
        self._renderer = Renderer(spec.syntax)
        cloze = spec.form is Form.CLOZE
        self._template = _with_slot(spec) if cloze else spec.template

    def prepare(self, examples: Iterable[Example]) -> None:
        """Render all of these at once, which matters where a template needs a process of its own."""
        self._renderer.prepare(row for example in examples for row in self._rows(example))

    def question(self, example: Example) -> str:
        """The template over the example's fields; in the cloze form with a slot for the answer."""
        text = self._renderer.render(self._template, self._values(example))
        if self.spec.form is Form.CLOZE and text.count(_SLOT) != 1:
            raise InputError(
                "The template must have exactly one place for the mask.",
                "Write {mask} once, or leave it out: then the mask follows the question.",
            )
        return text

    def answer(self, example: Example) -> str:
        """What is right for the example: its output, or the target template over its fields."""
        if not self.spec.target:
            return example.output
        return self._renderer.render(self.spec.target, {"output": example.output, **example.values})

    def instruction(self, query: Example) -> str:
        """The instruction over the query's fields."""
        return self._renderer.render(self.spec.instruction, query.values) if self.spec.instruction else ""

    def choices(self, query: Example) -> tuple[str, ...]:
        """The answers to choose from, as they stand in the prompt."""
        return tuple(map(self.spec.word, query.choices or self.spec.labels))

    def compose(self, shots: Sequence[Example], query: Example, use: Sequence[int] | None = None) -> Rendered:
        """The prompt as a text, with the shots at the places `use`: all that are included unless given.

        For the text and the cloze form; a conversation is `messages`, which a chat template makes a text of.
        """
        chosen = included(shots) if use is None else list(use)
        writer = _Writer()
        writer.write(PartKind.INSTRUCTION, self.instruction(query))
        for place in chosen:
            self._shot(writer, shots[place], place)
        mask = self._query(writer, query)
        return Rendered(
            text=writer.text,
            parts=tuple(writer.parts),
            used=tuple(chosen),
            dropped=tuple(place for place in included(shots) if place not in set(chosen)),
            joint="" if mask else self.spec.target_delimiter,
            choices=self.choices(query),
            answer=self.spec.word(self.answer(query)),
            mask=mask,
        )

    def messages(self, shots: Sequence[Example], query: Example, use: Sequence[int] | None = None) -> list[Message]:
        """The prompt as a conversation: the shots as turns, the query as the last one of the user."""
        chosen = included(shots) if use is None else list(use)
        turns = list(self._turns(shots, chosen))
        turns.append(Message("user", self.question(query), PartKind.QUERY))
        opening = self.instruction(query)
        if not opening:
            return turns
        if self.spec.instruction_role is InstructionRole.SYSTEM:
            return [Message("system", opening, PartKind.INSTRUCTION), *turns]
        first = turns[0]
        return [Message(first.role, opening + first.content, first.kind, first.shot), *turns[1:]]

    def _turns(self, shots: Sequence[Example], chosen: Sequence[int]) -> Iterator[Message]:
        for place in chosen:
            yield Message("user", self.question(shots[place]), PartKind.SHOT, place)
            yield Message("assistant", self.spec.word(self.answer(shots[place])), PartKind.SHOT, place)

    def _shot(self, writer: _Writer, shot: Example, place: int) -> None:
        question, answer = self.question(shot), self.spec.word(self.answer(shot))
        before, after = question, ""
        if self.spec.form is Form.CLOZE:
            before, _, after = question.partition(_SLOT)
        else:
            before += self.spec.target_delimiter
        writer.write(PartKind.SHOT, before + answer + after + self.spec.fewshot_delimiter, place, len(before), answer)

    def _query(self, writer: _Writer, query: Example) -> tuple[int, int] | None:
        """The last part; where its mask stands, if it has one."""
        question = self.question(query)
        if self.spec.form is not Form.CLOZE:
            writer.write(PartKind.QUERY, question)
            return None
        before, _, after = question.partition(_SLOT)
        start = len(writer.text) + len(before)
        writer.write(PartKind.QUERY, before + self._mask + after)
        return start, start + len(self._mask)

    def _values(self, example: Example) -> dict[str, str]:
        return {**example.values, MASK: _SLOT} if self.spec.form is Form.CLOZE else example.values

    def _rows(self, example: Example) -> Iterator[tuple[str, dict[str, str]]]:
        yield self._template, self._values(example)
        if self.spec.instruction:
            yield self.spec.instruction, example.values
        if self.spec.target:
            yield self.spec.target, {"output": example.output, **example.values}


class _Writer:
    """Puts parts one after another and remembers where they lie."""

    def __init__(self) -> None:
        self.text = ""
        self.parts: list[Part] = []

    def write(self, kind: PartKind, text: str, shot: int | None = None, before: int = 0, answer: str = "") -> None:
        if text:
            start = len(self.text)
            self.text += text
            span = (start + before, start + before + len(answer)) if shot is not None else None
            self.parts.append(Part(kind, start, len(self.text), shot, span))


def _with_slot(spec: PromptSpec) -> str:
    """The template of the cloze form, which names the mask."""
    if MASK in templates.fields(spec.template, spec.syntax):
        return spec.template
    slot = "{{ mask }}" if spec.syntax is Syntax.JINJA else "{mask}"
    delimiter = spec.target_delimiter
    if spec.syntax is Syntax.FIELDS:
        delimiter = delimiter.replace("{", "{{").replace("}", "}}")
    return spec.template + delimiter + slot


def compose(spec: PromptSpec, shots: Sequence[Example], query: Example, *, mask: str = "") -> Rendered:
    """One prompt in the text or the cloze form. Raises InputError."""
    return Composer(spec, mask).compose(shots, query)


def pair(rendered: Rendered, choice: str) -> tuple[str, str]:
    """(context, continuation) as lm-evaluation-harness scores them: spaces that end the context begin the latter.

    (lm_eval/models/huggingface.py, `_encode_pair`.)
    """
    context = rendered.text.rstrip()
    return context, rendered.text[len(context) :] + rendered.joint + choice
