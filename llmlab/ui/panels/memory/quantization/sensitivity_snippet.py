"""Python that measures the parts of a model, or opens it with some of them in 16 bits, outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmlab.engine.quantization.mixed import sixteen_bits
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Question
from llmlab.engine.types import Architecture, ModelInfo
from llmlab.ui.panels.memory.quantization.snippet import scheme_text

BUNDLED = "bundled:"
_CLASSES = {
    Architecture.DECODER: "AutoModelForCausalLM",
    Architecture.ENCODER: "AutoModelForMaskedLM",
    Architecture.ENCODER_DECODER: "AutoModelForSeq2SeqLM",
}


def parts(info: ModelInfo, scheme: Scheme, question: Question) -> str:
    """A script that prints what every part costs."""
    return f"""{_opening(info, scheme, question, "sensitivity")}
for part in sensitivity(engine.loaded, scheme, question.text, answer):
    print(
        f"{{part.part.name:24}} KL {{part.divergence:.3e}} nats, top-1 {{part.shift.agreement:.1%}},"
        f" perplexity {{part.shift.perplexity:.4f}}, SQNR {{part.sqnr:.2f}} dB"
    )
"""


def mixed(info: ModelInfo, scheme: Scheme, question: Question, skips: Sequence[str], kept: Sequence[str]) -> str:
    """A script that opens the model with `kept` (parameter names) in 16 bits; of our own absmax, one that asks it."""
    if scheme.is_simulated or scheme.is_float:
        return _by_ourselves(info, scheme, question, kept)
    modules = [*skips, *(name.removesuffix(".weight") for name in kept)]
    listed = "".join(f"    {name!r},\n" for name in modules)
    name, imports = _source(info.request.spec)
    kind, dtype = _CLASSES[info.architecture], f"torch.{sixteen_bits(info.dtype)}"
    return f"""import torch
from transformers import {kind}, BitsAndBytesConfig
{imports}
# once this list is given, transformers quantizes the output layer too, unless the list names it
kept_in_16_bits = [
{listed}]
config = BitsAndBytesConfig(
{_settings(scheme, dtype)}    llm_int8_skip_modules=kept_in_16_bits,
)
model = {kind}.from_pretrained({name}, quantization_config=config, dtype={dtype})
for name, module in model.named_modules():
    if isinstance(module, torch.nn.Linear):
        print(f"{{name:48}} {{type(module).__name__:14}} {{str(module.weight.dtype).removeprefix('torch.')}}")
"""


def _settings(scheme: Scheme, dtype: str) -> str:
    if scheme.format == "int8":
        return "    load_in_8bit=True,\n"
    double = "    bnb_4bit_use_double_quant=True,\n" if scheme.double else ""
    return (
        f"    load_in_4bit=True,\n    bnb_4bit_quant_type={scheme.format!r},\n{double}"
        f"    bnb_4bit_compute_dtype={dtype},\n"
    )


def _by_ourselves(info: ModelInfo, scheme: Scheme, question: Question, kept: Sequence[str]) -> str:
    listed = "".join(f"    {name!r},\n" for name in kept)
    kept_as = f"Scheme({sixteen_bits(info.dtype)!r})"
    return f"""{_opening(info, scheme, question, "Probe")}
kept = [
{listed}]
probe = Probe(engine.loaded, question.text, answer)
shift = probe.shift(dict.fromkeys(probe.parts.whole.matrices, scheme) | dict.fromkeys(kept, {kept_as}))
print(f"KL {{shift.divergence:.3e}} nats, top-1 {{shift.agreement:.1%}}, perplexity {{shift.perplexity:.4f}}")
"""


def _opening(info: ModelInfo, scheme: Scheme, question: Question, function: str) -> str:
    return f"""from llmlab.engine import Engine
from llmlab.engine.quantization.measuring import answer_to
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.sensitivity import {function}
from llmlab.engine.quantization.types import Question

engine = Engine.open({info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r})
scheme = {scheme_text(scheme)}
question = Question(
    text={question.text!r},
    prompt={question.prompt!r},
    max_new_tokens={question.max_new_tokens},
)
answer = answer_to(engine.loaded, question)  # what an encoder-decoder model writes; None of others"""


def _source(spec: str) -> tuple[str, str]:
    """What `from_pretrained` is given, and the import that it needs."""
    if spec.startswith(BUNDLED):
        return f"bundled_model({spec.removeprefix(BUNDLED)!r})", "from llmlab.paths import bundled_model\n"
    return repr(str(Path(spec).absolute()) if Path(spec).exists() else spec), ""
