"""Tries a bundle, or an installed program, from outside: `selftest.py FOLDER-OR-PROGRAM`; exit status 0 if all works.

Version, `--self-test` with freshly made models of six architectures and one from a stand-in for the hub, and pictures
of one panel. The program gets a home of its own and an environment without this one's Python. It runs with the tests'
own tiny models and hub, so it needs the development packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from transformers.utils import logging  # noqa: E402

from tests.engine import attention_models, checkpoints, hub_server  # noqa: E402 - found through the line above

KINDS = ("gpt2", "llama", "bert", "t5", "qwen3", "gemma3")
HUB_MODEL = "lab/tiny"
PANEL = "decoding"
LEAST_BYTES = 5_000  # of a picture; an empty window takes less


def main() -> int:
    """Try everything; the first thing that fails ends it."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    given = Path(sys.argv[1]).resolve()
    program = given / "llmlab" if given.is_dir() else given
    with tempfile.TemporaryDirectory(prefix="llmlab-selftest-") as place, hub(Path(place)) as url:
        home = Path(place) / "home"
        home.mkdir()
        environment = bare(home) | {"HF_ENDPOINT": url}
        folders = [make(kind, Path(place) / kind) for kind in KINDS]
        pictures = Path(place) / "pictures"
        for arguments in (
            ["--version"],
            ["--self-test", "--model", HUB_MODEL, *map(str, folders)],
            ["--panel", PANEL, "--snapshot", str(pictures)],
        ):
            print(f"selftest: llmlab {' '.join(arguments[:3])}", file=sys.stderr, flush=True)
            status = subprocess.call([str(program), *arguments], env=environment, cwd=home)
            if status:
                print(f"selftest: it ended with status {status}", file=sys.stderr)
                return 1
        return looked_at(pictures)


def looked_at(folder: Path) -> int:
    """Whether the pictures have anything in them."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.png")}
    empty = [name for name, size in sizes.items() if size < LEAST_BYTES]
    if empty or not sizes:
        print(f"selftest: pictures that are empty: {', '.join(empty) or 'all'}", file=sys.stderr)
        return 1
    print(f"selftest: {len(sizes)} pictures, nothing failed", file=sys.stderr)
    return 0


def bare(home: Path) -> dict[str, str]:
    """The environment of a user who has nothing but the system."""
    kept: Mapping[str, str] = {name: os.environ[name] for name in ("LANG", "TZ", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen"}


def make(kind: str, folder: Path) -> Path:
    """Write a tiny model with random weights, and its tokenizer."""
    makers = {**attention_models.DECODERS, **checkpoints.MAKERS}
    makers[kind]().save_pretrained(folder)
    checkpoints.tokenizer().save_pretrained(folder)
    return folder


@contextmanager
def hub(place: Path) -> Iterator[str]:
    """The address of a stand-in for the hub that has one model."""
    files = make("gpt2", place / "hub").iterdir()
    with hub_server.serve() as server:
        server.repos[HUB_MODEL] = {path.name: path.read_bytes() for path in files}
        yield server.url


if __name__ == "__main__":
    sys.exit(main())
