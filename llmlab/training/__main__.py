"""Command line of the recipe: ``python -m llmlab.training decoder --corpus DIR --labelled DIR --minutes 60``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from llmlab import paths

if TYPE_CHECKING:
    from llmlab.training.corpus import Corpus
    from llmlab.training.loop import Trainer
    from llmlab.training.recipes import Recipe

KINDS = ("decoder", "encoder", "seq2seq", "draft")  # the draft model learns from the decoder
SHARES = {"decoder": 0.48, "encoder": 0.15, "seq2seq": 0.22, "draft": 0.15}  # of the minutes of ``all``
CHECKPOINT_EVERY = 150.0  # seconds
PRINT_EVERY = 20  # steps


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m llmlab.training", description=__doc__)
    parser.add_argument("command", choices=("tokenizer", *KINDS, "all", "export", "report"))
    parser.add_argument("--corpus", type=Path, default=os.environ.get("LLMLAB_CORPUS"), help="folder of *.txt.xz")
    parser.add_argument("--labelled", type=Path, default=os.environ.get("LLMLAB_LABELLED"), help="folder of *.jsonl.xz")
    parser.add_argument("--out", type=Path, default=paths.resources() / "models", help="where the models go")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "llmlab-training", help="checkpoints and caches"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="budget in minutes of training")
    parser.add_argument("--tokens", type=float, default=0.0, help="budget in tokens, e.g. 12e6")
    parser.add_argument("--rows", type=int, default=0, help="rows of one step (a GPU wants more)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--remark", default="", help="a note for the record, e.g. what was changed on the way")
    parser.add_argument("--compile", action="store_true", help="use torch.compile (worth it on CUDA)")
    options = parser.parse_args(argv)
    if options.corpus is None or options.labelled is None:
        parser.error("give --corpus and --labelled, or set LLMLAB_CORPUS and LLMLAB_LABELLED")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 130 after Ctrl-C, with a checkpoint saved."""
    options = arguments(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: spinning threads starve each other
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from llmlab.training import device
    from llmlab.training.corpus import Corpus

    device.keep_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    corpus = Corpus(Path(options.corpus), Path(options.labelled))
    try:
        return _command(options, corpus)
    except KeyboardInterrupt:
        print("stopped; go on with --resume", file=sys.stderr)
        return 130


def _command(options: argparse.Namespace, corpus: Corpus) -> int:
    from llmlab.training.assemble import prepare_tokenizer

    if options.command == "report":
        from llmlab.training.report import write_report

        print(f"wrote {write_report(options.out, corpus, say=_say, cache=options.work / 'report')}")
        return 0
    if options.command == "tokenizer":
        prepare_tokenizer(corpus, options.work)
        return 0
    every = options.command in ("all", "export")
    for kind in KINDS if every else (options.command,):
        share = SHARES[kind] if options.command == "all" else 1.0
        _train(_recipe(kind, options, share), options, corpus)
    return 0


def _recipe(kind: str, options: argparse.Namespace, share: float) -> Recipe:
    from llmlab.training.recipes import RECIPES

    recipe = RECIPES[kind]
    minutes, tokens = options.minutes * share, int(options.tokens * share)
    return replace(recipe, minutes=minutes, tokens=tokens, rows=options.rows or recipe.rows)


def _train(recipe: Recipe, options: argparse.Namespace, corpus: Corpus) -> None:
    """Train until the budget is used up (``export``: not at all) and write the model folder."""
    from llmlab.training import assemble, cards, device, export
    from llmlab.training.record import record

    teacher = _teacher(recipe, options)
    place = device.choose(options.device)
    if teacher is not None:
        trainer = assemble.draft_trainer(recipe, corpus, teacher, options.work, place, options.compile, _say)
    else:
        tokenizer = assemble.prepare_tokenizer(corpus, options.work)
        trainer = assemble.trainer(recipe, corpus, tokenizer, options.work, place, options.compile)
    checkpoint = options.work / f"{recipe.kind}.pt"
    if (options.resume or options.command == "export") and checkpoint.exists():
        trainer.load(checkpoint)
    if options.command != "export":
        _run(trainer, checkpoint)
    folder = options.out / recipe.kind
    facts = record(trainer, corpus, options.remark, teacher)
    if teacher is not None:
        export.export_draft(trainer.model, trainer.recipe, teacher, folder, facts)  # type: ignore[arg-type]
    else:
        export.export(trainer.model, trainer.recipe, tokenizer, folder, facts)  # type: ignore[arg-type]
    cards.write(folder, facts)
    print(f"wrote {folder}")


def _teacher(recipe: Recipe, options: argparse.Namespace) -> Path | None:
    """The folder of the model that this one learns from; None where it learns from text alone."""
    from llmlab.training.distillation import TEACHER

    if recipe.distillation is None:
        return None
    folder = Path(options.out) / TEACHER
    if not (folder / "model.safetensors").exists():
        raise SystemExit("The draft model learns from the decoder: train that first, or let --out name where it is.")
    return folder


@contextmanager
def _stop_on_interrupt() -> Iterator[Event]:
    """An event that Ctrl-C sets, so that a step is never left half done."""
    stop = Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _run(trainer: Trainer, checkpoint: Path) -> None:
    saved = time.monotonic()
    losses: list[float] = []
    with _stop_on_interrupt() as stop:
        for step in trainer.run():
            losses.append(step.loss)
            if step.step % PRINT_EVERY == 0:
                speed = step.tokens / max(step.seconds, 1e-9)
                _say(
                    f"{trainer.recipe.kind} step {step.step}, {step.tokens / 1e6:.2f}M tokens, "
                    f"{100 * step.progress:.1f} %, loss {sum(losses) / len(losses):.3f}, {speed:.0f} tokens/s"
                )
                losses.clear()
            if time.monotonic() - saved > CHECKPOINT_EVERY:
                trainer.save(checkpoint)
                saved = time.monotonic()
            if stop.is_set():
                break
        trainer.save(checkpoint)
    if stop.is_set():
        raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
