"""Runs every bench_*.py beside this file and prints one table with the budgets.

A number over its budget is marked OVER; the exit status stays 0, because the machine may simply be busy. Each file
runs in a process of its own, so that none warms up, slows down or breaks another. Words given as arguments choose
the files whose names contain them.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ONE_FILE = "--only-this-file"


def main(arguments: list[str]) -> int:
    """Print the table of all files, or the rows of one as JSON."""
    if arguments[:1] == [ONE_FILE]:
        return print_rows(arguments[1])
    names = sorted(path.stem for path in HERE.glob("bench_*.py"))
    chosen = [name for name in names if not arguments or any(word in name for word in arguments)]
    print(f"{'what':60}  {'measured':>14}  budget", flush=True)
    failed = [name for name in chosen if not measure(name)]
    for name in failed:
        print(f"{name} could not be run", file=sys.stderr)
    return 0


def measure(name: str) -> bool:
    """Run one file and print its rows; False if it failed."""
    command = [sys.executable, str(Path(__file__)), ONE_FILE, name]
    # A spinning thread takes the core of the work it is measured against.
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **quiet})
    if done.returncode != 0:
        return False
    for row_name, value, unit, budget, ok in json.loads(done.stdout.splitlines()[-1]):
        verdict = {True: "ok", False: "OVER", None: ""}[ok]
        print(f"{row_name:60}  {f'{value:.4g} {unit}':>14}  {budget:24} {verdict}", flush=True)
    return True


def print_rows(name: str) -> int:
    """Run one file in this process."""
    sys.path[0] = str(ROOT)
    module = importlib.import_module(f"tests.benchmarks.{name}")
    print(json.dumps([astuple(row) for row in module.run()]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
