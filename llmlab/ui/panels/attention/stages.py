"""The words for every state the panel can be in. No Qt."""

from __future__ import annotations

from llmlab.engine.attention.types import AttentionRequest, Truncation
from llmlab.engine.types import Architecture, Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.attention.capturing import TooLarge, TooLong
from llmlab.ui.panels.attention.reading import Reading
from llmlab.ui.panels.attention.screen import Act, Offer
from llmlab.ui.screen import Kind, Stage, without_model
from llmlab.workbench import Completion, ModelState

EXAMPLES = (
    "Lily has a red ball. Tom has a blue car. Lily plays with her red",
    "The cat sat on the mat because it was tired.",
)
GIGABYTE = 10**9


def stage(
    model: ModelState,
    prompt: str,
    error: ErrorInfo | None,
    declined: TooLong | TooLarge | None,
    reading: Reading | None,
    fraction: float | None,
) -> Stage:
    """What fills the picture."""
    info = model.info
    if info is None:
        return without_model(model, "Its attention follows.")
    if Feature.ATTENTION not in info.features:
        return Stage(
            Kind.EMPTY,
            f"{info.name} has no attention to look at",
            f"Its architecture ({info.model_type}) passes information from token to token in another way: there are no "
            "queries, keys and weights. Open a transformer model to see attention.",
        )
    if not prompt:
        return Stage(
            Kind.EMPTY, "Type a prompt to see what each token looks at", "Or start with one of these.", EXAMPLES
        )
    if isinstance(declined, TooLong):
        return _too_long(declined)
    if isinstance(declined, TooLarge):
        return _too_large(declined)
    if error is not None:
        return Stage(Kind.ERROR, error.message, error.hint, actions=(("Try again", Act.RETRY),))
    if reading is None:
        return Stage(Kind.LOADING, "The model is reading", "Every head's queries and keys are kept.", fraction=fraction)
    return Stage(Kind.READY)


def _too_long(declined: TooLong) -> Stage:
    tokens, over = declined.cost.tokens, declined.cost.over
    return Stage(
        Kind.EMPTY,
        "The text is longer than the model can read",
        f"It has {tokens:,} tokens, {over:,} more than fit into the model's context window. "
        "You can look at a part of it, which the model then reads as if it were the whole text.",
        actions=(
            (f"Keep the beginning, leave out the last {over:,} tokens", Act.KEEP_BEGINNING),
            (f"Keep the end, leave out the first {over:,} tokens", Act.KEEP_END),
        ),
    )


def _too_large(declined: TooLarge) -> Stage:
    cost, one = declined.cost, declined.cost.bytes_of_a_layer
    words = (
        f"Keeping the queries and keys of all layers for {cost.tokens:,} tokens takes {gigabytes(cost.bytes)}; "
        f"{gigabytes(cost.available)} are free."
    )
    single = (f"Read a single layer ({gigabytes(one)})", Act.READ_ONE)
    if declined.fits:
        return Stage(
            Kind.EMPTY,
            "This needs a lot of memory",
            words,
            actions=((f"Read all layers ({gigabytes(cost.bytes)})", Act.READ_ALL), single),
        )
    return Stage(Kind.EMPTY, "This does not fit into memory", f"{words} A single layer may.", actions=(single,))


def gigabytes(count: int) -> str:
    """Bytes as people say them, in powers of ten."""
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE // 10 else f"{count / 1e6:.0f} MB"


def offer(info: ModelInfo | None, completion: Completion | None, reading: Reading | None) -> Offer:
    """What can be chosen."""
    if info is None:
        return Offer()
    encoder = info.architecture is Architecture.ENCODER
    return Offer(
        kinds=tuple(reading.shapes) if reading else (),
        pair=encoder,
        target=info.architecture is Architecture.ENCODER_DECODER,
        completion=completion is not None and bool(completion.ids),
        padding=reading is not None,
        repeats=info.architecture is Architecture.DECODER,
    )


def notes(reading: Reading, prompt: str, wanted: AttentionRequest | None) -> tuple[str, ...]:
    """What one must know to read the maps."""
    request, said = reading.request, []
    if wanted is not None and wanted != request:
        said.append("The model is reading the new text; this is the former one.")
    if request.continued and request.text != prompt:
        said.append("The prompt has changed since the completion was generated; its own prompt is read.")
    if reading.cut:
        beginning = request.truncation is Truncation.KEEP_BEGINNING
        part, rest = ("beginning", "last") if beginning else ("end", "first")
        said.append(f"The text is too long: only its {part} is read, without the {rest} {reading.cut:,} tokens.")
    if request.layers is not None:
        said.append("Only one layer is kept at a time; choosing another one has the model read the text again.")
    return tuple(said)
