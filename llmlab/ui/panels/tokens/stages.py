"""The words for every state the panel can be in, and the numbers above the strip. No Qt."""

from __future__ import annotations

from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.tokens.encoded import Encoded
from llmlab.ui.panels.tokens.samples import samples
from llmlab.ui.panels.tokens.screen import Choice
from llmlab.ui.screen import Fact, Kind, Stage, without_model
from llmlab.workbench import ModelState

OWN = ""  # the choice that stands for the loaded model's tokenizer
BUNDLED = (
    Choice("bundled:decoder", "Llama Lab Storyteller"),
    Choice("bundled:encoder", "Lab Cloze"),
    Choice("bundled:seq2seq", "Lab Restorer"),
)
EXAMPLES = ("English", "Chinese", "Emoji")


def stage(spec: str | None, model: ModelState, prompt: str, error: ErrorInfo | None, encoded: Encoded | None) -> Stage:
    """What fills the picture. `spec` is the tokenizer that is wanted, None where there is none yet."""
    if spec is None:
        hint = "Open one above, or choose a tokenizer on the right."
        return without_model(model, "Its tokenizer comes with it.", hint)
    if error is not None:
        return Stage(Kind.ERROR, error.message, error.hint)
    if not prompt:
        texts = {item.name: item.text for item in samples()}
        examples = tuple(texts[name] for name in EXAMPLES)
        return Stage(Kind.EMPTY, "Type a prompt to see its tokens", "Or start with one of these.", examples)
    if encoded is None:
        return Stage(Kind.LOADING, "Reading the tokenizer")
    return Stage(Kind.READY)


def choices(model: ModelState, chosen: str, opened: tuple[str, ...]) -> tuple[Choice, ...]:
    """The tokenizers to choose from."""
    info = model.info
    own = Choice(OWN, f"Loaded model: {info.name}" if info else "Loaded model")
    others = [Choice(spec, short_name(spec)) for spec in dict.fromkeys((*opened, chosen)) if spec]
    known = {choice.spec for choice in BUNDLED}
    return (own, *BUNDLED, *(choice for choice in others if choice.spec not in known))


def short_name(spec: str) -> str:
    """What to call a tokenizer that is not open yet."""
    names = {choice.spec: choice.name for choice in BUNDLED}
    return names.get(spec) or spec.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or spec


def facts(encoded: Encoded) -> tuple[Fact, ...]:
    """The headline of a text's tokens."""
    count, added = len(encoded), encoded.added
    real = max(1, count - added)
    characters = len(encoded.tokens.text)
    fertility = f"{real / encoded.text_words:.2f}" if encoded.text_words else "none"
    return (
        Fact(
            "tokens",
            f"{count:,}",
            f"{count - added:,} from the text, {added:,} special ones that the tokenizer puts around it.",
        ),
        Fact("different", f"{encoded.distinct:,}", "How many different ids there are among them."),
        Fact("characters/token", f"{characters / real:.2f}", f"{characters:,} characters in {count - added:,} tokens."),
        Fact("tokens/word", fertility, f"Fertility: {encoded.text_words:,} words between white space."),
        Fact("bytes/token", f"{encoded.text_bytes / real:.2f}", f"{encoded.text_bytes:,} bytes of UTF-8."),
    )


def about(encoded: Encoded) -> tuple[Fact, ...]:
    """What the tokenizer is made of."""
    info = encoded.info
    facts = (
        ("algorithm", info.algorithm),
        ("vocabulary", f"{info.vocabulary:,} tokens"),
        ("normalizer", info.normalizer or "none"),
        ("pre-tokenizer", info.pre_tokenizer or "none"),
        ("post-processor", info.post_processor or "none"),
        ("context", f"{info.context:,} tokens" if info.context else "no limit"),
    )
    return tuple(Fact(name, _broken(value), value) for name, value in facts)


def _broken(value: str, room: int = 24) -> str:
    """A list that is too long for the column, one item a line."""
    return value.replace(", ", ",\n") if len(value) > room else value


def notes(encoded: Encoded, prompt_is_shown: bool) -> tuple[str, ...]:
    """What one must know to read the strip."""
    said = list(encoded.info.notes)
    tokens = encoded.tokens
    if tokens.replaced:
        said.append(f"{tokens.replaced:,} halves of surrogate pairs are no characters and were read as U+FFFD.")
    if not tokens.has_offsets:
        said.append("This tokenizer cannot tell where its tokens stand in the text: they are shown one after another.")
    if not prompt_is_shown:
        said.append("The text has changed; its tokens are on their way.")
    return tuple(said)
