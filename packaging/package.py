"""Makes what users install: `python3 lab.py package` runs this in `.venv`.

Results lie in `dist/`: the folder `llmlab`, a Debian package, a self-extracting installer. See README.md beside this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FORMATS = ("dir", "deb", "run", "all")


def main() -> int:
    """Run the steps that the command line asks for; the first that fails ends it."""
    parser = argparse.ArgumentParser(prog="lab.py package", description="Make a bundle or an installer of LLM Lab.")
    parser.add_argument("--format", choices=FORMATS, default="dir", help="dir: the bundle as a folder (default)")
    parser.add_argument("--check", action="store_true", help="then try everything that the bundle can do")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the results go (default: dist)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "package", help="where PyInstaller works")
    parser.add_argument("--keep", action="store_true", help="take the bundle that is there already")
    steps = commands(parser.parse_args())
    for number, (words, command) in enumerate(steps, 1):
        say(f"step {number} of {len(steps)}: {words}")
        started = time.monotonic()
        status = subprocess.call([sys.executable, *map(str, command)])
        if status:
            say("this step failed; its message is above")
            return status
        say(f"done in {time.monotonic() - started:.0f} s")
    return 0


def commands(arguments: argparse.Namespace) -> list[tuple[str, list[Path | str]]]:
    """What is done, in words, and the script with its arguments."""
    out = arguments.out.resolve()
    bundle = out / "llmlab"
    make = [HERE / "bundle" / "make_bundle.py", out, "--work", arguments.work.resolve()]
    found: list[tuple[str, list[Path | str]]] = []
    if not arguments.keep:
        found.append(("the bundle, 3 to 10 minutes", make))
    if arguments.check:
        found.append(("trying the bundle, 3 to 5 minutes", [HERE / "selftest" / "selftest.py", bundle]))
    if arguments.format in ("deb", "all"):
        found.append(("the Debian package, 4 to 12 minutes", [HERE / "deb" / "make_deb.py", bundle, out]))
    if arguments.format in ("run", "all"):
        found.append(("the self-extracting installer, 2 to 10 minutes", [HERE / "run" / "make_run.py", bundle, out]))
    return found


def say(text: str) -> None:
    """Tell the user something."""
    print(f"package: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
