"""The words for every state the panel can be in. No Qt."""

from __future__ import annotations

from llmlab.engine.types import Architecture, Feature, ModelInfo
from llmlab.jobs.job import ErrorInfo
from llmlab.ui.panels.decoding.picture import Place
from llmlab.ui.panels.decoding.run import Run
from llmlab.ui.screen import Kind, Stage, without_model
from llmlab.workbench import ModelState

EXAMPLES = {
    Architecture.DECODER: (
        "Once upon a time, there was a little",
        "The cat sat on the mat. The dog sat on the",
        "Monday, Tuesday, Wednesday,",
    ),
    Architecture.ENCODER: (
        "The little girl was very {mask} because she lost her toy.",
        "Tom and Lily went to the {mask} to play with the {mask}.",
    ),
    Architecture.ENCODER_DECODER: (
        "Lily went to the <extra_id_0> to play with <extra_id_1> friends.",
        "Once upon a time, there was a <extra_id_0> who lived in the forest.",
    ),
}


def stage(model: ModelState, prompt: str, error: ErrorInfo | None, read: bool) -> Stage:
    """What fills the picture."""
    if model.info is None:
        return without_model(model, hint="Choose one with Open… above; bundled models need no network.")
    if not model.info.features & {Feature.NEXT_TOKEN, Feature.FILL_MASK}:
        return Stage(
            Kind.EMPTY,
            f"{model.info.name} does not predict tokens",
            "Open a model with a language-modelling head: a decoder, an encoder for fill-mask, or an encoder-decoder.",
        )
    if not prompt or (fills_masks(model.info) and not _has_mask(model.info, prompt)):
        return _without_prompt(model.info, prompt)
    if error is not None:
        return Stage(Kind.ERROR, error.message, error.hint)
    if not read:
        return Stage(Kind.LOADING, "Reading the prompt")
    return Stage(Kind.READY)


def _without_prompt(info: ModelInfo, prompt: str) -> Stage:
    examples = EXAMPLES[info.architecture]
    if not fills_masks(info):
        return Stage(
            Kind.EMPTY,
            "Type a prompt to see which token comes next",
            "The bars show every token of the vocabulary with its probability, and how the settings reshape it.",
            examples,
        )
    mask = info.mask_token or ""
    return Stage(
        Kind.EMPTY,
        f"Put {mask} where the model should fill in a word" if prompt else "Type a sentence with a word masked",
        f"{info.name} is an encoder: it reads the whole text and predicts which token each mask hides.",
        tuple(example.replace("{mask}", mask) for example in examples),
        actions=(("Insert mask", "insert mask"),),
    )


def fills_masks(info: ModelInfo) -> bool:
    """Whether the model fills masks instead of generating."""
    return Feature.GENERATE not in info.features and Feature.FILL_MASK in info.features


def _has_mask(info: ModelInfo, prompt: str) -> bool:
    return bool(info.mask_token) and (info.mask_token or "") in prompt


def can_read(model: ModelState, prompt: str) -> bool:
    """Whether there is a distribution to ask for."""
    return stage(model, prompt, None, True).kind is Kind.READY


def can_append(info: ModelInfo | None) -> bool:
    """Whether a chosen token may join the prompt: an encoder-decoder's prompt is not what it continues."""
    return info is not None and info.architecture is Architecture.DECODER


def cannot_generate(model: ModelState, prompt: str) -> str:
    """Why no completion can be made now; empty if one can."""
    if model.info is None or not model.ready:
        return "No model is ready yet."
    if Feature.GENERATE not in model.info.features:
        return f"{model.info.name} is an encoder: it fills masks and does not generate."
    return "" if prompt else "The prompt is empty."


def use_label(info: ModelInfo | None, place: int, *, branches: bool) -> str:
    """What choosing a token does; empty if nothing. `branches`: another one was taken there."""
    if info is not None and fills_masks(info):
        return "Put this token in the mask's place"
    if branches:
        return "Go on with this token, in a branch"
    return "Append this token to the prompt" if can_append(info) and place == 0 else ""


def can_go_on(run: Run, running: bool) -> bool:
    """Whether there is a next token after the whole completion.

    Prompt and completion are then read anew as one text, which only a decoder continues; after the token that ends
    a text comes nothing, and a text that has filled the context window, or over which it has slid, is too long to be
    read.
    """
    ended = run.overfull or (bool(run.steps) and run.steps[-1].finish_reason in ("eos", "context"))
    return run.info.architecture is Architecture.DECODER and not running and not ended


def with_mask(prompt: str, mask: str) -> str:
    """`prompt` with a mask at its end, before a full stop."""
    body, stop = (prompt[:-1], prompt[-1]) if prompt[-1:] in (".", "!", "?") else (prompt, "")
    space = "" if not body or body[-1].isspace() else " "
    return f"{body}{space}{mask}{stop}"


def with_mask_filled(prompt: str, mask: str, index: int, text: str) -> str:
    """`prompt` with `text` in place of mask number `index`."""
    parts = prompt.split(mask)
    if not 0 <= index < len(parts) - 1:
        return prompt
    return mask.join(parts[: index + 1]) + text.strip() + mask.join(parts[index + 1 :])


def place(
    place: int, *, last: int, masks: tuple[str, ...], generated: int, partial: bool, waiting: bool, greedy: bool
) -> Place:
    """The name of a place, and the ways from there. `masks` are the words around each mask."""
    note = "greedy: the most probable token is always taken" if greedy else ""
    if place == 0 and waiting:
        note = "of the former prompt; the new one is read when the completion has ended"
    if masks:
        title, note = f"Mask {place + 1} of {len(masks)}", f"“{masks[place]}”" if place < len(masks) else ""
    elif place == 0:
        title = "Next token after the prompt"
    elif place < generated:
        title = f"Token {place + 1} of the completion"
    else:
        title, note = "Next token after the completion", "prompt and completion read anew as one text"
    if partial:
        note = "only the best tokens of this step were kept, as generated: the sliders do not act on them"
    return Place(title, place > 0, place < last, note)
