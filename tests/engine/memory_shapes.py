"""The built-in architectures in numbers, each built once for all tests."""

from __future__ import annotations

from functools import cache

from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.describe import describe
from llmlab.engine.memory.shape import ModelShape

MIB = 2**20
GIB = 2**30


@cache
def shape(name: str) -> ModelShape:
    return describe(architecture(name).config, name)
