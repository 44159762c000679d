"""Python that calculates the same outside this window. No Qt."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

from llmlab.engine.memory.inference import InferenceSettings
from llmlab.engine.memory.shape import ModelShape
from llmlab.engine.memory.sharding import ShardingSettings, Strategy
from llmlab.engine.memory.training import Lora, TrainingSettings
from llmlab.ui.panels.memory.calculator.params import LISTED, OPENED, Params

_MODULES = {
    "Precision": "training",
    "Lora": "training",
    "TrainingSettings": "training",
    "Optimizer": "optimizers",
    "Implementation": "optimizers",
    "Checkpointing": "activations",
    "Strategy": "sharding",
    "Offload": "sharding",
    "ShardingSettings": "sharding",
    "InferenceSettings": "inference",
}
_PRINTING = """for term in estimate.terms:
    print(f"{term.bytes:>20,} bytes  {term.name}: {term.formula} = {term.values}")
print(f"{estimate.total:>20,} bytes  together = {estimate.total / 1e9:.6g} GB = {estimate.total / 2**30:.6g} GiB")
"""


def script(params: Params, shape: ModelShape, loaded: str) -> str:
    """A script that prints every component. `loaded` is what the open model was opened by."""
    used: set[str] = set()
    if params.training:
        settings = _call(params.training_settings(shape), TrainingSettings(), used)
        plan = _call(params.plan, ShardingSettings(0, Strategy.DDP), used, always=("strategy",))
        lines = f"settings = {settings}\nplan = {plan}\nestimate = sharded_training(shape, settings, plan)\n"
        imports = _imports(used, {"sharding": {"sharded_training"}})
    else:
        settings = _call(params.inference_settings, InferenceSettings(), used)
        lines = f"settings = {settings}\nestimate = inference(shape, settings)\n"
        imports = _imports(used, {"inference": {"inference"}})
    first, source = _source(params.source, loaded)
    return f"{imports}{first}\n{source}\n{lines}{_PRINTING}"


def _source(source: str, loaded: str) -> tuple[str, str]:
    """The line that imports what is needed, and the one that makes the shape."""
    if source.startswith(LISTED):
        call = f"from_list({source.removeprefix(LISTED)!r})"
    else:
        call = f"from_spec({source.removeprefix(OPENED) or loaded!r})"
    name = call.partition("(")[0]
    return f"from llmlab.engine.memory.sources import {name}\n", f"shape = {call}.shape"


def _imports(used: set[str], more: dict[str, set[str]]) -> str:
    modules = {module: set(names) for module, names in more.items()}
    for name in used:
        modules.setdefault(_MODULES[name], set()).add(name)
    return "".join(
        f"from llmlab.engine.memory.{module} import {', '.join(sorted(names))}\n"
        for module, names in sorted(modules.items())
    )


def _call(value: Any, default: Any, used: set[str], always: tuple[str, ...] = ()) -> str:
    """The expression that makes a frozen value, with what differs from its default."""
    used.add(type(value).__name__)
    found = []
    for each in fields(value):
        own = getattr(value, each.name)
        if each.name in always or own != getattr(default, each.name, object()):
            found.append(f"{each.name}={_spelled(own, used)}")
    return f"{type(value).__name__}({', '.join(found)})"


def _spelled(value: Any, used: set[str]) -> str:
    if isinstance(value, Enum):
        used.add(type(value).__name__)
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Lora):
        return _call(value, None, used)
    return repr(value)
