"""What a prompt with examples is made of. No torch here, and no jinja2: the window names these before a model exists.

Characters are counted in code points, as Python counts those of a `str`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Syntax(StrEnum):
    """How a template names the fields of an example."""

    FIELDS = "fields"  # {name}; a literal brace is written twice: {{ and }}
    JINJA = "jinja"  # Jinja2 as lm-evaluation-harness reads it: {{ name }}, filters, conditions


class Form(StrEnum):
    """How the parts become one text."""

    TEXT = "text"  # one running text, which a decoder continues and an encoder-decoder model's encoder reads
    CHAT = "chat"  # the shots as turns of a conversation, through the tokenizer's chat template
    CLOZE = "cloze"  # the answer stands at a mask, which an encoder-only model fills in (PET, Schick & Schütze 2021)


class InstructionRole(StrEnum):
    """Who says the instruction in a conversation."""

    SYSTEM = "system"
    USER = "user"  # before the first question, for models whose template knows no system message


class Overflow(StrEnum):
    """What happens to a prompt that leaves no room. Instruction and query are never cut, and no shot in part."""

    REFUSE = "refuse"
    DROP_FIRST = "drop first"  # whole shots, the first one first
    DROP_LAST = "drop last"


@dataclass(frozen=True, slots=True)
class Example:
    """One row: a shot, or an item of a test set.

    `fields` are (name, text) in the order of their source, no name twice; `output` is the answer. `included` is the
    tick before a shot. `choices` are the answers to choose from where every item has its own; otherwise they are the
    prompt's labels.
    """

    fields: tuple[tuple[str, str], ...]
    output: str = ""
    included: bool = True
    choices: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """The fields by name."""
        return dict(self.fields)


@dataclass(frozen=True, slots=True)
class PromptSpec:
    r"""How examples and a query become a prompt.

    In the text form it is lm-evaluation-harness's composition, nothing added and nothing stripped:
    instruction + Σ(question + target_delimiter + answer + fewshot_delimiter) + question.

    `instruction` and `template` (the question) are templates over the fields of an example, the instruction over those
    of the query. `target` is a template for the answer, which may use `output` too; empty: the output as it stands.
    In the cloze form `template` may say where the answer stands with the field `mask`; otherwise it stands after the
    target delimiter. `labels` are the answers to choose from; empty: free text. `verbalizer` holds (label, word) where
    another word than the label itself is to stand in the prompt. `room` is how many tokens must remain for the
    completion; a label that is scored takes what it needs.
    """

    template: str
    instruction: str = ""
    target: str = ""
    syntax: Syntax = Syntax.FIELDS
    form: Form = Form.TEXT
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    labels: tuple[str, ...] = ()
    verbalizer: tuple[tuple[str, str], ...] = ()
    instruction_role: InstructionRole = InstructionRole.SYSTEM
    overflow: Overflow = Overflow.REFUSE
    room: int = 32

    def word(self, label: str) -> str:
        """What stands in the prompt for `label`."""
        return dict(self.verbalizer).get(label, label)


class PartKind(StrEnum):
    """What a stretch of the prompt is."""

    INSTRUCTION = "instruction"
    SHOT = "shot"
    QUERY = "query"
    FRAME = "frame"  # what the chat template puts around the messages
    SPECIAL = "special"  # tokens that the tokenizer adds: they stand for no character


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of a prompt, characters `start` to `end`.

    `shot` is the place of the example in the list that was given, None for what is no shot. `answer` is where a
    shot's answer lies, (start, end) in characters of the whole text. The delimiter after a shot belongs to it.
    """

    kind: PartKind
    start: int
    end: int
    shot: int | None = None
    answer: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as text. `parts` cover it without gaps; `used` and `dropped` are places in the list of shots given.

    `joint` is what stands between the text and an answer; `choices` the answers to choose from, as they stand in the
    prompt, empty for free text; `answer` the query's own answer, empty where it has none. `mask` is where the mask
    stands in the cloze form, (start, end) in characters.
    """

    text: str
    parts: tuple[Part, ...]
    used: tuple[int, ...]
    dropped: tuple[int, ...] = ()
    joint: str = ""
    choices: tuple[str, ...] = ()
    answer: str = ""
    mask: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PartTokens:
    """A part and the tokens that begin in it; a token that reaches into the next part counts here alone."""

    part: Part
    tokens: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What a prompt takes of the context window, from one tokenization of the whole text.

    `tokens` all of the prompt, special tokens included: the sum over `parts`. `context` None where there is no limit.
    `across` tokens begin in one part and end in another. `room` is what must remain, and `left` what does: negative
    where the prompt is too long, None without a limit.
    """

    parts: tuple[PartTokens, ...]
    tokens: int
    across: int
    context: int | None
    room: int

    @property
    def left(self) -> int | None:
        """Tokens that remain for the completion."""
        return None if self.context is None else self.context - self.tokens

    @property
    def fits(self) -> bool:
        """Whether the room that was asked for remains."""
        return self.left is None or self.left >= self.room


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits, or that was refused where `budget.fits` is False."""

    rendered: Rendered
    budget: Budget
