"""The layers that a model runs one after the other, and running it with some of them left out.

A layer that is left out returns what it is told to, so that the layers before a change need not run again, and the
model's own final norm and head can be given any hidden state. Nothing of the model is changed for longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from llmlab.engine.progress import UNCONTROLLED, Control

Output = Any  # what a layer returns: hidden states (batch, tokens, hidden), or a tuple that begins with them


def hidden_of(output: Output) -> torch.Tensor:
    """The hidden states in what a layer returned."""
    states: torch.Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return states


def with_hidden(output: Output, states: torch.Tensor) -> Output:
    """What a layer returned, with other hidden states, on the device that the next layer expects them on."""
    states = states.to(hidden_of(output).device)
    if isinstance(output, (tuple, list)):
        return (states, *output[1:])
    return states


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Layers of which each takes the hidden states that the one before it returned."""

    layers: tuple[nn.Module, ...]

    def __len__(self) -> int:
        return len(self.layers)

    def holding(self, module: nn.Module) -> int:
        """The layer that `module` is a part of. Raises ValueError where there is none."""
        for index, layer in enumerate(self.layers):
            if any(part is module for part in layer.modules()):
                return index
        raise ValueError("The module belongs to none of the layers.")

    @contextmanager
    def recorded(self, control: Control = UNCONTROLLED) -> Iterator[list[Output]]:
        """What the layers return while they run, in a list that fills up; `control` is checked after each."""
        outputs: list[Output] = []

        def keep(_module: nn.Module, _arguments: Any, output: Output) -> None:
            control.check()
            outputs.append(output)

        with ExitStack() as hooks:
            for layer in self.layers:
                hooks.callback(layer.register_forward_hook(keep).remove)
            yield outputs

    @contextmanager
    def first_input(self) -> Iterator[list[torch.Tensor]]:
        """The hidden states that the first layer is given."""
        inputs: list[torch.Tensor] = []

        def keep(_module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            inputs.append(arguments[0] if arguments else named["hidden_states"])

        handle = self.layers[0].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            yield inputs
        finally:
            handle.remove()

    @contextmanager
    def skipped(self, count: int, output: Output) -> Iterator[None]:
        """The first `count` layers do not run: each returns `output`."""
        with ExitStack() as restored:
            for layer in self.layers[:count]:
                restored.enter_context(_returning(layer, output))
            yield


@contextmanager
def _returning(module: nn.Module, output: Output) -> Iterator[None]:
    """`module` returns `output` whatever it is given."""
    own = module.__dict__.get("forward")  # set where the model is spread over several devices
    module.__dict__["forward"] = lambda *_arguments, **_named: output
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own


@contextmanager
def attending(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Let `model` attend with the function that transformers knows as `name`; its own comes back in any case."""
    configs = {id(c): c for m in model.modules() if isinstance(c := getattr(m, "config", None), PreTrainedConfig)}
    before = [(config, config._attn_implementation_internal) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation_internal = name
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation


def find_stack(root: nn.Module, run: Callable[[], object]) -> Stack | None:
    """The layers of `root`, where they are modules of one list that run once each, in order; `run` runs them.

    None where the same layer runs several times (ALBERT), or where they are no list.
    """
    lists = list(_outermost_lists(root))
    if not lists:
        return None
    layers = tuple(max(lists, key=_parameters))
    calls: list[int] = []
    with ExitStack() as hooks:
        for index, layer in enumerate(layers):
            hook = layer.register_forward_hook(lambda *_, index=index: calls.append(index))
            hooks.callback(hook.remove)
        run()
    return Stack(layers) if calls == list(range(len(layers))) else None


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost_lists(child)


def _parameters(modules: Iterable[nn.Module]) -> int:
    return sum(each.numel() for module in modules for each in module.parameters())


@dataclass(frozen=True, slots=True)
class AfterAttention:
    """Where in a layer the hidden states after attention stand: the input or the output of the module `name`."""

    name: str
    is_output: bool

    @contextmanager
    def recorded(self, stack: Stack) -> Iterator[dict[int, torch.Tensor]]:
        """The hidden states after the attention of each layer that has such a module, by layer."""
        states: dict[int, torch.Tensor] = {}

        def keep(index: int) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
            def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                states[index] = output if self.is_output else inputs[0]

            return hook

        with ExitStack() as hooks:
            for index, layer in enumerate(stack.layers):
                module = dict(layer.named_modules()).get(self.name)
                if module is not None:
                    hooks.callback(module.register_forward_hook(keep(index)).remove)
            yield states


@dataclass(slots=True)
class _Trace:
    """What passed through the modules of one layer while it ran; tensors are told apart by being the same object."""

    given: list[torch.Tensor]
    returned: torch.Tensor | None
    norms: list[tuple[str, torch.Tensor, torch.Tensor]]  # name, input, output
    readers: list[torch.Tensor]  # inputs of all other modules


def after_attention(stack: Stack, run: Callable[[], object]) -> AfterAttention | None:
    """Where the hidden states after attention stand; `run` runs the layers.

    They are what the last norm reads whose output another module of the layer takes: that module is the MLP. In a
    model that normalises after adding (BERT) they are that norm's output, as the layer's own output is a norm's.
    None where attention and MLP run side by side (GPT-J), or where the layer is built in another way.
    """
    trace = _traced(stack.layers[0], run)
    for name, read, normed in reversed(trace.norms):
        if any(normed is other for other in trace.readers) and not any(read is other for other in trace.given):
            normalises_last = any(trace.returned is output for _, _, output in trace.norms)
            return AfterAttention(name, normalises_last)
    return None


def _traced(layer: nn.Module, run: Callable[[], object]) -> _Trace:
    trace = _Trace([], None, [], [])

    def given(_module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        trace.given.extend(_tensors(arguments, named))

    def returned(_module: nn.Module, _arguments: Any, output: Output) -> None:
        trace.returned = hidden_of(output)

    def norm(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        return lambda _module, inputs, output: trace.norms.append((name, inputs[0], output))

    def reads(_module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        trace.readers.extend(_tensors(arguments, named))

    with ExitStack() as hooks:
        hooks.callback(layer.register_forward_pre_hook(given, with_kwargs=True).remove)
        hooks.callback(layer.register_forward_hook(returned).remove)
        for name, module in layer.named_modules():
            if not name or isinstance(module, (nn.Dropout, nn.Identity)):
                continue
            if "norm" in type(module).__name__.lower():
                hooks.callback(module.register_forward_hook(norm(name)).remove)
            else:
                hooks.callback(module.register_forward_pre_hook(reads, with_kwargs=True).remove)
        run()
    return trace


def _tensors(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for value in (*arguments, *named.values()) if isinstance(value, torch.Tensor)]
