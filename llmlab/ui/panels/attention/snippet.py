"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from llmlab.engine.attention.types import HeadAt, Reduction, Truncation
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui.panels.attention.params import SEGMENTS
from llmlab.ui.panels.attention.reading import Reading

BUNDLED = "bundled:"
CLASSES = {
    Architecture.DECODER: "AutoModelForCausalLM",
    Architecture.ENCODER: "AutoModel",
    Architecture.ENCODER_DECODER: "AutoModelForSeq2SeqLM",
}
FIELDS = {"self": "attentions", "encoder": "encoder_attentions", "decoder": "decoder_attentions",
          "cross": "cross_attentions"}  # fmt: skip


def weights(reading: Reading) -> str:
    """A script that prints the map of the focus, from transformers' own `output_attentions`.

    What transformers does not compute, value weighting and merged words, is our library's, in a script of its own.
    """
    if reading.params.value_weighted or reading.params.words or reading.request.padding or _is_cut(reading):
        return _ours(reading)
    return f"""import torch
{_loading(reading.info)}
{_inputs(reading)}
with torch.inference_mode():
    layers = model(**inputs, output_attentions=True).{FIELDS[reading.focus.kind]}
{_reduced(reading)}{_shown(reading)}
print(weights.shape)
print(weights)
"""


def rollout(reading: Reading) -> str:
    """A script that prints the attention rollout of the kind in focus."""
    if reading.request.padding or _is_cut(reading):
        return f"""{_captured(reading, "AttentionRequest, Truncation")}
rollout = engine.captured(request).rollout({reading.focus.kind!r})
print(rollout.shape)
print(rollout)
"""
    hidden = """
rollout = torch.cat((torch.zeros_like(rollout[:, :1]), rollout[:, 1:]), 1)  # without the first token
rollout = rollout / rollout.sum(-1, keepdim=True)"""
    return f"""import torch
{_loading(reading.info)}
{_inputs(reading)}
with torch.inference_mode():
    layers = model(**inputs, output_attentions=True).{FIELDS[reading.focus.kind]}
identity = torch.eye(layers[0].shape[-1], device=layers[0].device)
rollout = identity
for layer in layers:  # Abnar and Zuidema 2020, eq. 1
    rollout = (0.5 * layer[0].float().mean(0) + 0.5 * identity) @ rollout{hidden if reading.params.hide_first else ""}
print(rollout.shape)
print(rollout)
"""


def neuron(reading: Reading, query: int, key: int) -> str:
    """A script that prints how one weight came about; transformers hands out no queries and keys, our library does."""
    focus = reading.focus
    return f"""{_captured(reading, "AttentionRequest, HeadAt, Truncation")}
head = HeadAt({focus.kind!r}, {focus.layer!r}, {focus.head!r})
view = engine.captured(request).neuron(head, query={query}, key={key})
print("q·k", view.dot, "score", view.score, "weight", view.weight)
print(view.products)  # of each dimension
"""


def ablation(reading: Reading, off: Collection[HeadAt]) -> str:
    """A script that prints the prediction with and without the heads `off`, and the effect of every head alone."""
    heads = "".join(f"\n    HeadAt({head.kind!r}, {head.layer}, {head.head})," for head in sorted(off))
    return f"""{_captured(reading, "AttentionRequest, HeadAt, Truncation")}
off = [{heads}
]
effects = engine.ablation(request, off)  # what these heads write becomes zero
for effect in effects:
    print(effect.label, "KL", effect.kl, "nats")
    for text, before, after in zip(effect.texts, effect.before, effect.after):
        print(repr(text), before, after)

layers = list(engine.ablation_effects(request))  # every head alone
for layer in layers:
    print(layer.kind, layer.layer, layer.kl, "whole layer", layer.layer_kl)
"""


def lens(reading: Reading, positions: tuple[int, int]) -> str:
    """A script that prints the logit lens of these positions."""
    return f"""{_captured(reading, "AttentionRequest, Truncation")}
lens = engine.logit_lens(request, positions={positions})
for number, row in enumerate(lens.rows):
    best = [lens.texts[int(index)] for index in lens.ids[number, :, 0]]
    print(row.place, row.layer, best, lens.final_probability[number])
"""


def _is_cut(reading: Reading) -> bool:
    return reading.request.truncation is not Truncation.REFUSE


def _reduced(reading: Reading) -> str:
    focus = reading.focus
    layers = "torch.stack(layers)[:, 0]  # (layers, heads, queries, keys)"
    reduce = "mean({})" if focus.reduction is Reduction.MEAN else "amax({})"
    if focus.layer is None and focus.head is None:
        return f"weights = {layers}\nweights = weights.float().{reduce.format('(0, 1)')}"
    if focus.layer is None:
        return f"weights = {layers}\nweights = weights[:, {focus.head}].float().{reduce.format(0)}"
    if focus.head is None:
        return f"weights = layers[{focus.layer}][0].float().{reduce.format(0)}  # (queries, keys)"
    return f"weights = layers[{focus.layer}][0, {focus.head}].float()  # (queries, keys)"


def _shown(reading: Reading) -> str:
    if not reading.params.hide_first:
        return ""
    return """
weights = torch.cat((torch.zeros_like(weights[:, :1]), weights[:, 1:]), 1)  # without the first token
weights = weights / weights.sum(-1, keepdim=True)"""


def _inputs(reading: Reading) -> str:
    request, architecture = reading.request, reading.info.architecture
    second = f", {request.pair!r}" if request.pair is not None else ""
    lines = [f'inputs = tokenizer({request.text!r}{second}, return_tensors="pt").to(model.device)']
    if architecture is Architecture.ENCODER_DECODER:
        start = "start = torch.tensor([[model.generation_config.decoder_start_token_id]])"
        if request.continued:
            lines += [start, f"target = torch.tensor([{list(request.continued)}])"]
        else:
            target = f'tokenizer(text_target={request.target or ""!r}, add_special_tokens=False, return_tensors="pt")'
            lines += [start, f"target = {target}.input_ids.long()"]
        lines.append('inputs["decoder_input_ids"] = torch.cat((start, target), 1).to(model.device)')
    elif request.continued:
        lines += [
            f"generated = torch.tensor([{list(request.continued)}], device=model.device)",
            'inputs = {"input_ids": torch.cat((inputs["input_ids"], generated), 1)}',
        ]
    elif architecture is Architecture.DECODER:
        lines.append('inputs.pop("token_type_ids", None)')
    return "\n".join(lines)


def _loading(info: ModelInfo) -> str:
    model_class = CLASSES[info.architecture]
    imports, name = _place(info.request.spec)
    more, place = _quantization(info), "" if info.quantization else f".to({info.device!r})"
    return f"""from transformers import {model_class}, AutoTokenizer{", BitsAndBytesConfig" if more else ""}
{imports}
name = {name}
tokenizer = AutoTokenizer.from_pretrained(name)
model = {model_class}.from_pretrained(
    name, dtype=torch.{info.dtype}, attn_implementation="eager"{more}
){place}.eval()"""


def _place(spec: str) -> tuple[str, str]:
    """Import lines, and the expression for the model's folder or id."""
    if spec.startswith(BUNDLED):
        return "from llmlab.paths import bundled_model\n", f"bundled_model({spec.removeprefix(BUNDLED)!r})"
    return "", repr(str(Path(spec).absolute()) if Path(spec).exists() else spec)


def _quantization(info: ModelInfo) -> str:
    if info.quantization is None:
        return ""
    if info.quantization == "int8":
        return ", quantization_config=BitsAndBytesConfig(load_in_8bit=True)"
    return (
        f", quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type={info.quantization!r},"
        f" bnb_4bit_use_double_quant={info.request.double_quantization}, bnb_4bit_compute_dtype=torch.{info.dtype})"
    )


def _ours(reading: Reading) -> str:
    request, focus, params = reading.request, reading.focus, reading.params
    segments = SEGMENTS[params.segments] if request.pair is not None else None
    return f"""{_captured(reading, "AttentionRequest, MapRequest, Reduction, Truncation")}
made = engine.captured(request).map(
    MapRequest(
        kind={focus.kind!r},
        layer={focus.layer!r},
        head={focus.head!r},
        reduction=Reduction.{focus.reduction.name},
        value_weighted={params.value_weighted!r},
        hide_first={params.hide_first!r},
        words={params.words!r},
        segments={segments!r},
    )
)
print(made.values.shape)
print(made.values)  # -1 where the model may not look
"""


def _captured(reading: Reading, names: str) -> str:
    """Opening the model with our library, and what it is to read."""
    info, request = reading.info, reading.request
    opened = f"{info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r}, quantization={info.quantization!r}"
    return f"""from llmlab.engine import Engine
from llmlab.engine.attention.types import {names}

engine = Engine.open({opened})
request = AttentionRequest(
    {request.text!r},
    target={request.target!r},
    pair={request.pair!r},
    continued={request.continued!r},
    padding={request.padding!r},
    truncation=Truncation.{request.truncation.name},
)"""
