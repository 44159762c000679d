"""Python that gives the same numbers outside this window. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

from llmlab.engine.quantization.schemes import ABSMAX, Scheme
from llmlab.engine.quantization.types import Question
from llmlab.engine.types import ModelInfo


def script(info: ModelInfo, schemes: Sequence[Scheme], question: Question) -> str:
    """A script that prints the table."""
    listed = "".join(f"    {scheme_text(scheme)},\n" for scheme in schemes)
    return f"""from llmlab.engine import Engine
from llmlab.engine.quantization.damage import weight_damage
from llmlab.engine.quantization.measuring import measure
from llmlab.engine.quantization.schemes import Scheme
from llmlab.engine.quantization.types import Question

engine = Engine.open({info.request.spec!r}, device={info.device!r}, dtype={info.dtype!r})
schemes = [
{listed}]
question = Question(
    text={question.text!r},
    prompt={question.prompt!r},
    max_new_tokens={question.max_new_tokens},
)
for scheme in schemes:
    weights = weight_damage(engine.loaded, scheme)
    model = measure(engine.loaded, scheme, question)
    print(
        f"{{scheme.name:30}} {{weights.bytes:>12,}} bytes, SQNR {{weights.sqnr:6.2f}} dB,"
        f" KL {{model.text.mean_divergence:.3e}} nats, top-1 {{model.text.agreement:.1%}},"
        f" perplexity {{model.text.perplexity_after:.4f}}"
    )
"""


def scheme_text(scheme: Scheme) -> str:
    """As Python makes it."""
    if scheme.format != ABSMAX:
        return f"Scheme({scheme.format!r}{', double=True' if scheme.double else ''})"
    group = f", group_size={scheme.group_size}" if scheme.granularity == "group" else ""
    return f"Scheme({ABSMAX!r}, bits={scheme.bits}, granularity={scheme.granularity!r}{group})"
