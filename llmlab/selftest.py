"""`llmlab --self-test`: does this installation work? Everything that a package could have lost is tried, windowless."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from llmlab.engine.errors import AccessError, EngineError

if TYPE_CHECKING:
    from llmlab.engine import Engine
    from llmlab.engine.types import ModelRequest

TEXT = "Once upon a time there was a little girl named Lily."
_NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def run(requests: Sequence[ModelRequest]) -> int:
    """Try every part, and those models beside the bundled ones; the exit status is 0 when all of it works."""
    failed = []
    for name, check in _checks(requests):
        started = time.monotonic()
        try:
            found, word = check(), "ok"
        except Exception as error:  # noqa: BLE001 - whatever is broken is to be named, and the rest still tried
            found, word = f"{type(error).__name__}: {error}", "FAILED"
            failed.append(name)
        sys.stdout.write(f"{word:<7} {name}: {found} ({time.monotonic() - started:.1f} s)\n")
        sys.stdout.flush()
    sys.stdout.write(f"FAILED: {', '.join(failed)}\n" if failed else "everything works\n")
    return 1 if failed else 0


def _checks(requests: Sequence[ModelRequest]) -> Iterator[tuple[str, Callable[[], str]]]:
    from llmlab.engine import catalog
    from llmlab.engine.types import ModelRequest

    for entry in catalog.bundled():
        yield entry.source.spec, partial(_answers, ModelRequest(entry.source.spec, device="cpu"))
    for request in requests:
        yield request.spec, partial(_answers, request)
    yield "4-bit weights", partial(_answers, ModelRequest("bundled:decoder", device="cpu", quantization="nf4"))
    yield "chat templates", _chat
    yield "prompt templates", _templates
    yield "downloads", _downloads
    yield "sharding", _sharding


def _answers(request: ModelRequest) -> str:
    """What the model says to a text, or at a mask in it; with the attention that it paid."""
    from llmlab.engine import Engine
    from llmlab.engine.loading import load

    engine = Engine(load(request))
    try:
        tokens = len(engine.tokenize(TEXT).ids)
        captured = engine.attention(TEXT)
        weights = captured.weights(0, kind=captured.kinds[0])  # (heads, queries, keys)
        if not abs(float(weights.sum()) / (weights.shape[0] * weights.shape[1]) - 1) < 1e-3:
            raise EngineError("The attention weights do not add up to one.", "Install the program anew.")
        return f"{engine.info.model_type}, {tokens} tokens read, {_said(engine)!r} written"
    finally:
        engine.close()


def _said(engine: Engine) -> str:
    from llmlab.engine.types import Architecture

    if engine.info.architecture is Architecture.ENCODER:
        return engine.distribution(f"{TEXT} She was {engine.info.mask_token}.").positions[0].texts[0]
    return "".join(step.text for step in engine.generate(TEXT, max_new_tokens=8))


def _chat() -> str:
    from llmlab.engine import Engine

    engine = Engine.open("bundled:decoder", device="cpu")
    try:
        return repr(engine.chat_prompt([{"role": "user", "content": "Tell a story."}]).text)
    finally:
        engine.close()


def _templates() -> str:
    from llmlab.engine.shots.templates import Renderer
    from llmlab.engine.shots.types import Syntax

    # with a loop, so that it is rendered in a process of its own
    return repr(
        Renderer(Syntax.JINJA).render("{% for word in text.split() %}[{{ word }}]{% endfor %}", {"text": "a b"})
    )


def _downloads() -> str:
    from llmlab.engine import hub

    with _hub_at(_NOBODY):
        try:
            hub.fetch("llmlab/none")
        except AccessError as error:
            if "cannot be reached" in error.message:
                return "the process that downloads was started, and says that a closed port cannot be reached"
            raise
    raise EngineError("A download from a closed port did not fail.", "Install the program anew.")


@contextmanager
def _hub_at(url: str) -> Iterator[None]:
    """Let child processes take `url` for the hub, whatever the user's environment says."""
    kept = {name: os.environ.pop(name, None) for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    os.environ["HF_ENDPOINT"] = url
    try:
        yield
    finally:
        del os.environ["HF_ENDPOINT"]
        os.environ.update({name: value for name, value in kept.items() if value is not None})


def _sharding() -> str:
    from llmlab.engine.sharding import ranks
    from llmlab.engine.sharding.types import ShardingRequest

    done = ranks.run(ShardingRequest(ranks=2, steps=1, batch=1, tokens=16, device="cpu"))
    return ", ".join(f"{result.method} {result.losses[-1]:.3f}" for result in done.results)
