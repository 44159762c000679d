"""Python that does the same outside this window. No Qt."""

from __future__ import annotations

from pathlib import Path

from llmlab.engine.sampling import GenerationSettings
from llmlab.engine.types import Architecture, ModelInfo

BUNDLED = "bundled:"
BEST = 10  # how many tokens the fill-mask snippet prints


def generation(info: ModelInfo, prompt: str, settings: GenerationSettings) -> str:
    """A script that prints the same completion: transformers alone where nothing is drawn, our loop where it is.

    transformers draws from torch's global generator, so a seed means something else there.
    """
    return _greedy(info, prompt, settings) if settings.sampling.greedy else _sampled(info, prompt, settings)


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
    penalty = settings.sampling.repetition_penalty
    extra = f"\n    repetition_penalty={penalty!r}," if penalty != 1 else ""
    extra += f"\n    stop_strings={list(settings.stop)!r},\n    tokenizer=tokenizer," if settings.stop else ""
    return f"""import torch
{_loading(info, model_class)}
inputs = tokenizer({prompt!r}, return_tensors="pt").to(model.device)
inputs.pop("token_type_ids", None)
with torch.inference_mode():
    output = model.generate(
        **inputs,
        do_sample=False,
        num_beams=1,
        max_new_tokens={settings.max_new_tokens},{extra.replace(chr(10) + "    ", chr(10) + "        ")}
    )
print(tokenizer.decode(output[0, {first}:], skip_special_tokens=True))
"""


def _sampled(info: ModelInfo, prompt: str, settings: GenerationSettings) -> str:
    sampling = settings.sampling
    opened = f"{info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r}, quantization={info.quantization!r}"
    return f"""from llmlab.engine import Engine

engine = Engine.open({opened})
steps = engine.generate(
    {prompt!r},
    max_new_tokens={settings.max_new_tokens},
    do_sample=True,
    temperature={sampling.temperature!r},
    top_k={sampling.top_k!r},
    top_p={sampling.top_p!r},
    min_p={sampling.min_p!r},
    repetition_penalty={sampling.repetition_penalty!r},
    seed={settings.seed!r},
    stop={list(settings.stop)!r},
)
print("".join(step.text for step in steps))
"""


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
