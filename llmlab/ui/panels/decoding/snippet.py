"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmlab.engine.knobs import PROCESSORS
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui.panels.decoding.strategies import Plan, Strategy

BUNDLED = "bundled:"
OURS = ("presence_penalty", "frequency_penalty")  # settings that transformers does not have
LOOKUP_TOKENS = 10  # that are proposed at most, as `Engine.prompt_lookup` has it
PRINTED = {  # what a script prints of the steps
    "generate": '"".join(step.text for step in steps)',
    "beam_search": "list(steps)[-1].hypotheses[0].text",
    "assisted": '"".join(text for step in steps for text in (*(token.text for token in step.tokens), step.rest))',
}
BEST = 10  # how many tokens the fill-mask snippet prints


def generation(info: ModelInfo, prompt: str, settings: GenerationSettings, given: Sequence[int] = ()) -> str:
    """A script that prints the same completion: transformers alone where nothing is drawn, our loop where it is.

    transformers draws from torch's global generator, so a seed means something else there. Our loop also where
    transformers has no such setting, or another order, and for a branch, which begins with the tokens `given`.
    """
    if given:
        return _sampled(info, prompt, settings, given)
    sampling = settings.sampling
    ours = (
        settings.overflow != "stop"
        or not sampling.greedy
        or not sampling.standard_order
        or any(name in OURS for name in sampling.stages)
    )
    return _sampled(info, prompt, settings) if ours else _greedy(info, prompt, settings)


def strategy(info: ModelInfo, prompt: str, plan: Plan, settings: GenerationSettings) -> str:
    """A script that prints the text of one column of the strategies.

    transformers' beams draw from its global generator, which is seeded alike and draws the same there; what
    transformers has no such setting for, and drafts that draw, are made by our own loops.
    """
    drawn = plan.strategy is Strategy.SAMPLE or plan.seed is not None
    sampling = replace(settings.sampling, do_sample=drawn)
    made = replace(settings, sampling=sampling, seed=plan.seed or 0)
    room = {"max_new_tokens": settings.max_new_tokens}
    if plan.strategy is Strategy.BEAMS:
        return _by_transformers(info, prompt, {"do_sample": False, "num_beams": plan.beams, **room})
    if plan.strategy is Strategy.LOOKUP:
        lookup = {"do_sample": False, "prompt_lookup_num_tokens": LOOKUP_TOKENS, **room}
        return _by_transformers(info, prompt, lookup)
    if plan.strategy is Strategy.BEAM_SAMPLE:
        return _beam_sample(info, prompt, plan.beams, made)
    if plan.strategy is Strategy.ASSISTED:
        more = {"draft": plan.draft, "num_tokens": plan.guesses}
        return _sampled(info, prompt, replace(made, stop=(), overflow="stop"), method="assisted", more=more)
    return generation(info, prompt, made)


def _beam_sample(info: ModelInfo, prompt: str, beams: int, settings: GenerationSettings) -> str:
    sampling = settings.sampling
    elsewhere = info.device != "cpu"  # where its generator draws other numbers than ours, which is the CPU's always
    if elsewhere or not sampling.standard_order or any(name in OURS for name in sampling.stages):
        return _sampled(
            info, prompt, replace(settings, stop=(), overflow="stop"), method="beam_search", more={"num_beams": beams}
        )
    room = settings.max_new_tokens
    options: dict[str, Any] = {"do_sample": True, "num_beams": beams, "max_new_tokens": room, "top_k": 0}
    options |= {name: _as_transformers(sampling, name) for name in sampling.stages}
    return _by_transformers(info, prompt, options, before=f"torch.manual_seed({settings.seed})\n")


def fill_mask(info: ModelInfo, prompt: str) -> str:
    """A script that prints the best tokens at each mask."""
    return f"""import torch
{_loading(info, "AutoModelForMaskedLM")}
inputs = tokenizer({prompt!r}, return_tensors="pt").to(model.device)
with torch.inference_mode():
    logits = model(**inputs).logits[0]
for position in (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist():
    best = logits[position].float().softmax(-1).topk({BEST})
    for probability, token_id in zip(best.values.tolist(), best.indices.tolist()):
        print(f"{{position:4}} {{probability:.6f}} {{tokenizer.decode([token_id])!r}}")
"""


def _greedy(info: ModelInfo, prompt: str, settings: GenerationSettings) -> str:
    options: dict[str, Any] = {"do_sample": False, "num_beams": 1, "max_new_tokens": settings.max_new_tokens}
    options |= {name: _as_transformers(settings.sampling, name) for name in _acting(settings)}
    if settings.stop:
        options["stop_strings"] = list(settings.stop)
    return _by_transformers(info, prompt, options)


def _by_transformers(info: ModelInfo, prompt: str, options: dict[str, Any], before: str = "") -> str:
    """A script around `model.generate(**options)`; `before` are lines just before it."""
    decodes = info.architecture is Architecture.DECODER
    model_class = "AutoModelForCausalLM" if decodes else "AutoModelForSeq2SeqLM"
    first = 'inputs["input_ids"].shape[1]' if decodes else "1"
    lines = "".join(f"        {name}={value!r},\n" for name, value in options.items())
    lines += "        tokenizer=tokenizer,\n" if "stop_strings" in options else ""
    return f"""import torch
{_loading(info, model_class)}
inputs = tokenizer({prompt!r}, return_tensors="pt").to(model.device)
inputs.pop("token_type_ids", None)
{before}with torch.inference_mode():
    output = model.generate(
        **inputs,
{lines}    )
print(tokenizer.decode(output[0, {first}:], skip_special_tokens=True))
"""


def _sampled(
    info: ModelInfo,
    prompt: str,
    settings: GenerationSettings,
    given: Sequence[int] = (),
    method: str = "generate",
    more: Mapping[str, object] = {},
) -> str:
    """A script around a method of our engine, with `more` arguments."""
    opened = f"{info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r}, quantization={info.quantization!r}"
    neutral, knobs = SamplingSettings().knobs(), settings.sampling.knobs()
    changed = {name: value for name, value in knobs.items() if name == "do_sample" or value != neutral.get(name)}
    lines = "".join(f"    {name}={value!r},\n" for name, value in changed.items())
    if settings.overflow != "stop":
        lines += f"    overflow={settings.overflow!r},\n"
    if method == "generate" and not settings.cuda_graphs and info.device.startswith("cuda"):
        lines += "    cuda_graphs=False,\n"
    if given:
        lines = f"    given={list(given)!r},\n{lines}"
    lines += "".join(f"    {name}={value!r},\n" for name, value in more.items())
    if settings.stop or method == "generate":
        lines += f"    stop={list(settings.stop)!r},\n"
    return f"""from llmlab.engine import Engine

engine = Engine.open({opened})
steps = engine.{method}(
    {prompt!r},
    max_new_tokens={settings.max_new_tokens},
    seed={settings.seed!r},
{lines})
print({PRINTED[method]})
"""


def _acting(settings: GenerationSettings) -> tuple[str, ...]:
    """The settings that act in greedy decoding."""
    return tuple(name for name in settings.sampling.stages if name in PROCESSORS)


def _as_transformers(sampling: SamplingSettings, name: str) -> object:
    """The value of a setting as `model.generate` takes it."""
    if name == "bad_words_ids":
        return [list(tokens) for tokens in sampling.bad_words_ids]
    if name == "sequence_bias":
        return [[list(tokens), float(bias)] for tokens, bias in sampling.sequence_bias]
    value: object = getattr(sampling, name)
    return value


def _loading(info: ModelInfo, model_class: str) -> str:
    """The lines that give `tokenizer` and `model`, as the window has opened them."""
    spec, imports, name = info.request.spec, "", repr(info.request.spec)
    if spec.startswith(BUNDLED):
        imports = "from llmlab.paths import bundled_model\n"
        name = f"bundled_model({spec.removeprefix(BUNDLED)!r})"
    elif Path(spec).exists():
        name = repr(str(Path(spec).absolute()))
    more, place = _quantization(info), f".to({info.device!r})" if not info.quantization else ""
    return f"""from transformers import {model_class}, AutoTokenizer{", BitsAndBytesConfig" if more else ""}
{imports}
name = {name}
tokenizer = AutoTokenizer.from_pretrained(name)
model = {model_class}.from_pretrained(name, dtype=torch.{info.dtype}{more}){place}.eval()"""


def _quantization(info: ModelInfo) -> str:
    if info.quantization is None:
        return ""
    if info.quantization == "int8":
        return ", quantization_config=BitsAndBytesConfig(load_in_8bit=True)"
    double = info.request.double_quantization
    return (
        f", quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type={info.quantization!r},"
        f" bnb_4bit_use_double_quant={double}, bnb_4bit_compute_dtype=torch.{info.dtype})"
    )
