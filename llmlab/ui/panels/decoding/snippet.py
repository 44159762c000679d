"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmlab.engine.knobs import PROCESSORS
from llmlab.engine.sampling import GenerationSettings, SamplingSettings
from llmlab.engine.types import Architecture, ModelInfo

BUNDLED = "bundled:"
OURS = ("presence_penalty", "frequency_penalty")  # settings that transformers does not have
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
    decodes = info.architecture is Architecture.DECODER
    model_class = "AutoModelForCausalLM" if decodes else "AutoModelForSeq2SeqLM"
    first = 'inputs["input_ids"].shape[1]' if decodes else "1"
    extra = "".join(f"\n        {name}={_as_transformers(settings.sampling, name)!r}," for name in _acting(settings))
    extra += f"\n        stop_strings={list(settings.stop)!r},\n        tokenizer=tokenizer," if settings.stop else ""
    return f"""import torch
{_loading(info, model_class)}
inputs = tokenizer({prompt!r}, return_tensors="pt").to(model.device)
inputs.pop("token_type_ids", None)
with torch.inference_mode():
    output = model.generate(
        **inputs,
        do_sample=False,
        num_beams=1,
        max_new_tokens={settings.max_new_tokens},{extra}
    )
print(tokenizer.decode(output[0, {first}:], skip_special_tokens=True))
"""


def _sampled(info: ModelInfo, prompt: str, settings: GenerationSettings, given: Sequence[int] = ()) -> str:
    opened = f"{info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r}, quantization={info.quantization!r}"
    neutral, knobs = SamplingSettings().knobs(), settings.sampling.knobs()
    changed = {name: value for name, value in knobs.items() if name == "do_sample" or value != neutral.get(name)}
    lines = "".join(f"    {name}={value!r},\n" for name, value in changed.items())
    if settings.overflow != "stop":
        lines += f"    overflow={settings.overflow!r},\n"
    if given:
        lines = f"    given={list(given)!r},\n{lines}"
    return f"""from llmlab.engine import Engine

engine = Engine.open({opened})
steps = engine.generate(
    {prompt!r},
    max_new_tokens={settings.max_new_tokens},
{lines}    seed={settings.seed!r},
    stop={list(settings.stop)!r},
)
print("".join(step.text for step in steps))
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
