"""Python that gives the same numbers outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from llmlab.engine.shots.types import Example, PromptSpec, Rendered
from llmlab.engine.types import Architecture, ModelInfo


def answer_script(info: ModelInfo, rendered: Rendered) -> str:
    """A script of transformers alone that prints the log-probability of every label, or the completion."""
    if not rendered.choices:
        return _head(info) + _COMPLETION.format(text=rendered.text)
    body = {
        Architecture.DECODER: _CONTINUATIONS,
        Architecture.ENCODER_DECODER: _ANSWERS,
        Architecture.ENCODER: _CLOZE,
    }[info.architecture]
    before, after = (rendered.text, "") if rendered.mask is None else _around(rendered)
    return _head(info) + body.format(text=before, after=after, labels=list(rendered.choices), joint=rendered.joint)


def spec_source(spec: PromptSpec) -> str:
    """The prompt as Python source: what differs from the defaults."""
    default = PromptSpec(template="")
    named = [
        f"    {field.name}={_source(getattr(spec, field.name))},\n"
        for field in fields(spec)
        if field.name == "template" or getattr(spec, field.name) != getattr(default, field.name)
    ]
    return "PromptSpec(\n" + "".join(named) + ")"


def examples_source(examples: Sequence[Example]) -> str:
    """Examples as Python source, one a line."""
    rows = []
    for example in examples:
        choices = f", choices={example.choices!r}" if example.choices else ""
        rows.append(f"    Example({example.fields!r}, {example.output!r}{choices}),\n")
    return "[\n" + "".join(rows) + "]"


def _source(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


def _around(rendered: Rendered) -> tuple[str, str]:
    assert rendered.mask is not None
    start, end = rendered.mask
    return rendered.text[:start], rendered.text[end:]


def _head(info: ModelInfo) -> str:
    kind = {
        Architecture.DECODER: "AutoModelForCausalLM",
        Architecture.ENCODER_DECODER: "AutoModelForSeq2SeqLM",
        Architecture.ENCODER: "AutoModelForMaskedLM",
    }[info.architecture]
    if info.request.spec.startswith("bundled:"):
        name = info.request.spec.removeprefix("bundled:")
        folder = f"from llmlab import paths\n\nfolder = paths.bundled_model({name!r})"
    else:
        folder = f"\nfolder = {info.request.spec!r}"
    return f"""import torch
from transformers import {kind}, AutoTokenizer
{folder}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {kind}.from_pretrained(folder, dtype=torch.{info.dtype}).eval()

"""


_CONTINUATIONS = """text = {text!r}
labels = {labels!r}
for label in labels:
    context = text.rstrip()  # spaces at its end belong to the continuation
    ids = tokenizer(context + text[len(context) :] + {joint!r} + label, return_tensors="pt").input_ids
    alone = tokenizer(context).input_ids
    begin = next((i for i, (a, b) in enumerate(zip(alone, ids[0].tolist())) if a != b), len(alone))
    with torch.inference_mode():
        found = model(input_ids=ids).logits[0].double().log_softmax(-1)
    score = sum(found[place - 1, ids[0, place]].item() for place in range(begin, ids.shape[1]))
    print(f"{{score:10.4f}}  {{label}}")
"""

_ANSWERS = """text = {text!r}
labels = {labels!r}
inputs = tokenizer(text, return_tensors="pt")
for label in labels:
    ids = tokenizer(text_target=label, add_special_tokens=False).input_ids
    start = torch.tensor([[model.config.decoder_start_token_id, *ids]])
    with torch.inference_mode():
        found = model(input_ids=inputs.input_ids, decoder_input_ids=start).logits[0].double().log_softmax(-1)
    print(f"{{sum(found[place, token].item() for place, token in enumerate(ids)):10.4f}}  {{label}}")
"""

_CLOZE = """before, after = {text!r}, {after!r}
labels = {labels!r}
for label in labels:
    whole = tokenizer(before + label + after, return_offsets_mapping=True, return_special_tokens_mask=True)
    spans = zip(whole.offset_mapping, whole.special_tokens_mask)
    inside = [
        place
        for place, ((first, last), special) in enumerate(spans)
        if not special and first < len(before) + len(label) and last > len(before)
    ]
    ids = torch.tensor([whole.input_ids])
    masked = ids.clone()
    masked[0, inside] = tokenizer.mask_token_id
    with torch.inference_mode():
        found = model(input_ids=masked).logits[0].double().log_softmax(-1)
    print(f"{{sum(found[place, ids[0, place]].item() for place in inside):10.4f}}  {{label}}")
"""

_COMPLETION = """inputs = tokenizer({text!r}, return_tensors="pt")
inputs.pop("token_type_ids", None)
output = model.generate(**inputs, do_sample=False, max_new_tokens=64)
start = 0 if model.config.is_encoder_decoder else inputs.input_ids.shape[1]
print(tokenizer.decode(output[0, start:], skip_special_tokens=True))
"""
