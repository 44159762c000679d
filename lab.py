#!/usr/bin/env python3
"""Every command of this project, with the standard library only: `python3 lab.py help`.

The first call creates `.venv` beside this file and installs the pinned packages of `constraints.txt` into it.
Later calls find a stamp of what was installed and start at once. Deleting `.venv` is always safe.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
CONSTRAINTS = ROOT / "constraints.txt"
LOWEST_PYTHON = (3, 11)
KINDS = ("run", "dev", "package")  # sets of packages, each with all of the one before it
CANNOT_START = 2  # exit status: something is missing that the user has to provide

# Shared library that Qt loads -> the Debian package that has it. Measured on a bare Debian 12, one by one.
# Newer releases rename a few packages (libglib2.0-0t64); apt resolves the old name through their Provides.
OFFSCREEN_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}
SCREEN_LIBRARIES = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
FONT_PACKAGE = "fonts-dejavu-core"  # Latin, Greek, Cyrillic, and the Ġ, Ċ, ▁, ␣ that tokenizers show
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")

# Waiting OpenMP threads sleep instead of spinning: the window keeps its share of a small machine.
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen"}
# pytest rewrites each test for its messages. Where bytecode may not be kept, that is 15 s for each of its processes.
KEPT_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
FOR_TESTS = {**OFFSCREEN, **KEPT_BYTECODE, "HF_HUB_OFFLINE": "1", "PYTHONFAULTHANDLER": "1"}
# Several processes of pytest share the cores: threads of their own would only get in each other's way.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
AT_ONCE = ("-n", "logical", "--maxprocesses=4", "--dist=worksteal")  # every process of pytest loads torch


def say(text: str) -> None:
    """Tell the user something, on stderr, so that a program's own output stays clean."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def succeeds(command: Sequence[str | Path], **settings: str) -> bool:
    """Run a step of the set-up; what it prints goes to stderr too."""
    return subprocess.call([os.fspath(part) for part in command], stdout=2, env={**os.environ, **settings}) == 0


# --- system packages ----------------------------------------------------------------------------------------


def can_load(library: str) -> bool:
    """Whether the system's loader finds `library`, whichever package it came from."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_fonts(folders: Sequence[str] = FONT_FOLDERS) -> bool:
    """Whether any TrueType or OpenType font is installed; without one Qt draws boxes."""
    files = (file for folder in folders for file in Path(folder).expanduser().rglob("*.[to]tf"))
    return next(files, None) is not None


def missing_packages(screen: bool, new_venv: bool) -> list[str]:
    """The Debian packages this machine lacks: Qt's libraries, a font, and `venv` where one must be made."""
    libraries = OFFSCREEN_LIBRARIES | (SCREEN_LIBRARIES if screen else {})
    packages = [package for library, package in libraries.items() if not can_load(library)]
    if not has_fonts():
        packages.append(FONT_PACKAGE)
    if new_venv and importlib.util.find_spec("ensurepip") is None:
        packages.append(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    return packages


def provide_system_packages(screen: bool, new_venv: bool) -> None:
    """Install what is missing as root, or print the one line that does it and stop."""
    packages = missing_packages(screen, new_venv) if sys.platform == "linux" else []
    if not packages:
        return
    if shutil.which("apt-get") is None:
        say(f"this system seems to lack what Debian calls: {' '.join(packages)}; going on without.")
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0:
        say(f"some system packages are missing. Install them, then call this again:\n\n  sudo {shlex.join(install)}\n")
        raise SystemExit(CANNOT_START)
    say(f"installing system packages: {' '.join(packages)}")
    for command in (["apt-get", "update"], install):
        if not succeeds(command, DEBIAN_FRONTEND="noninteractive"):
            say(f"`{shlex.join(command)}` failed; its message is above.")
            raise SystemExit(CANNOT_START)


# --- the virtual environment --------------------------------------------------------------------------------


def torch_pin() -> str:
    """The exact torch of the constraints: a range lets pip choose a newer build with other CUDA packages."""
    return next(line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line.startswith("torch=="))


def requirements(kind: str) -> list[str]:
    """What to install: "run" is the program, "dev" adds the tools of test, check and bench, "package" the bundler."""
    import tomllib  # here, because an older Python must get as far as the message in `main`

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    more = {"run": [], "dev": extras["dev"], "package": [*extras["dev"], *extras["package"]]}[kind]
    return [torch_pin(), *project["dependencies"], *more]


def fingerprint(kind: str) -> str:
    """Changes when anything changes that decides what `.venv` should contain."""
    parts = [str(sys.version_info[:2]), platform.machine(), str(VENV), CONSTRAINTS.read_text("utf-8")]
    return hashlib.sha256("\n".join(parts + requirements(kind)).encode()).hexdigest()


def stamp(kind: str) -> Path:
    """Where a finished installation of `kind` leaves its fingerprint."""
    return VENV / f"installed-{kind}.sha256"


def is_installed(kind: str) -> bool:
    """Whether `.venv` is complete for `kind`. Each set contains those before it."""
    kinds = KINDS[KINDS.index(kind) :]
    return any(stamp(k).is_file() and stamp(k).read_text("ascii") == fingerprint(k) for k in kinds)


def venv_works() -> bool:
    """Whether `.venv` is whole enough for pip to run in it, on the Python that runs this file."""
    if not PYTHON.exists():
        return False
    probe = [str(PYTHON), "-c", "import pip, sys; print(sys.version_info[:2], sys.prefix)"]
    answer = subprocess.run(probe, capture_output=True, text=True, check=False).stdout
    return answer.strip() == f"{sys.version_info[:2]} {VENV}"


def create_venv() -> None:
    """Make an empty `.venv`, in place of a broken one if there is one."""
    say(f"creating {VENV}")
    base = getattr(sys, "_base_executable", sys.executable)  # not the .venv that is about to be cleared
    if not succeeds([base, "-m", "venv", "--clear", VENV]):
        say("Python could not create a virtual environment; its message is above.")
        raise SystemExit(CANNOT_START)


def site_packages() -> Path:
    """The folder of installed packages in `.venv`."""
    return next(VENV.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"))


def forget_half_installed(site: Path) -> None:
    """Remove the metadata of packages whose installation was cut off, so that pip installs them again.

    pip writes RECORD last: metadata without it means files are missing, which pip itself does not notice.
    """
    for metadata in site.glob("*.dist-info"):
        if not (metadata / "RECORD").is_file():
            say(f"repairing {metadata.name.removesuffix('.dist-info')}")
            shutil.rmtree(metadata)


def install(kind: str) -> None:
    """Bring `.venv` up to `requirements(kind)`; what is there already stays."""
    if not venv_works():
        create_venv()
    for old in VENV.glob("installed-*.sha256"):
        old.unlink()
    forget_half_installed(site_packages())
    say("installing the pinned packages; the first time this takes minutes (with CUDA builds, about 3 GB)")
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not succeeds([*pip, "--constraint", str(CONSTRAINTS), *requirements(kind)]):
        say("pip failed; its message is above. Calling this again goes on where it stopped.")
        raise SystemExit(CANNOT_START)
    # The checkout itself becomes importable from anywhere. `site` reads this file in the locale's encoding.
    (site_packages() / "llmlab-checkout.pth").write_text(f"{ROOT}\n")
    stamp(kind).write_text(fingerprint(kind), "ascii")


def prepare(kind: str, screen: bool = False) -> None:
    """Make sure that everything a command needs is there. Takes no time when nothing changed."""
    ready = is_installed(kind)
    provide_system_packages(screen, new_venv=not ready)
    if not ready:
        install(kind)


# --- commands -----------------------------------------------------------------------------------------------


def start(command: Sequence[str | Path], settings: Mapping[str, str], folder: Path | None = None) -> int:
    """Run a child to its end and return its exit status. What the user's environment sets, wins over QUIET_THREADS."""
    environment = {**QUIET_THREADS, **os.environ, **settings}
    process = subprocess.Popen([os.fspath(part) for part in command], env=environment, cwd=folder)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the child received it too, and ends in its own way
        raise
    except SystemExit:  # SIGTERM came, see `main`
        process.terminate()
        raise
    return status if status >= 0 else 128 - status


def run(arguments: Sequence[str]) -> int:
    """Start LLM Lab."""
    windowless = {"--snapshot", "--version", "--help", "-h"}
    screen = not any(argument.partition("=")[0] in windowless for argument in arguments)
    prepare("run", screen)
    return start([PYTHON, "-P", "-m", "llmlab", *arguments], {} if screen else OFFSCREEN)


def snapshots(arguments: Sequence[str]) -> int:
    """Write pictures of every panel."""
    folder = arguments[0] if arguments else ROOT / "build" / "snapshots"
    return run(["--snapshot", os.fspath(folder), *arguments[1:]])


def train(arguments: Sequence[str]) -> int:
    """Train the bundled models anew."""
    prepare("run")
    return start([PYTHON, "-P", "-m", "llmlab.training", *arguments], {})


def bench(arguments: Sequence[str]) -> int:
    """Measure the budgets."""
    prepare("dev")
    return start([PYTHON, ROOT / "tests" / "benchmarks" / "run.py", *arguments], FOR_TESTS, ROOT)


def stages(pytest_arguments: Sequence[str]) -> Iterator[tuple[str, list[str | Path]]]:
    """Name and command of everything that `test` looks at; pytest last, so its verdict ends the output."""
    yield "lint", [PYTHON, "-m", "ruff", "check"]
    yield "format", [PYTHON, "-m", "ruff", "format", "--check"]
    yield "types", [PYTHON, "-m", "mypy"]
    yield "imports", [BIN / "lint-imports", "--no-logo"]
    yield "tests", [PYTHON, "-m", "pytest", *AT_ONCE, *pytest_arguments]


def test(arguments: Sequence[str]) -> int:
    """Run every stage, whatever fails before, and name those that failed."""
    prepare("dev")
    failed = []
    for name, command in stages(arguments):
        say(f"--- {name}")
        if start(command, {**FOR_TESTS, **ONE_THREAD}, ROOT) != 0:
            failed.append(name)
    say(f"FAILED: {', '.join(failed)}" if failed else "lint, format, types, imports and tests passed")
    return 1 if failed else 0


def check(arguments: Sequence[str]) -> int:
    """Run `test` without the tests marked slow, and with fewer examples of each property."""
    return test(["-m", "not slow", "--hypothesis-profile=quick", *arguments])


def package(arguments: Sequence[str]) -> int:
    """Make a bundle or an installer."""
    prepare("package", screen=True)  # the bundle takes Qt's libraries of this machine along
    return start([PYTHON, "-P", ROOT / "packaging" / "package.py", *arguments], {}, ROOT)


def lock(arguments: Sequence[str]) -> int:
    """Write the newest versions that fit pyproject.toml to constraints.txt; torch keeps its pin."""
    prepare("dev")
    report = VENV / "resolved.json"
    resolve = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
    status = start([PYTHON, "-m", "pip", *resolve, *requirements("package"), *arguments], {})
    if status == 0:
        resolved = [item["metadata"] for item in json.loads(report.read_text("utf-8"))["install"]]
        CONSTRAINTS.write_text(constraints_text(resolved), "utf-8")
    return status


def constraints_text(resolved: Sequence[Mapping[str, str]]) -> str:
    """One `name==version` a line, under the present header.

    Left out: a version's local part (`+cpu`), which only one index has, and CUDA packages, which torch pins.
    """
    header = [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line.startswith("#")]
    versions = {p["name"].lower().replace("_", "-"): p["version"].partition("+")[0] for p in resolved}
    names = sorted(name for name in versions if not name.startswith(("nvidia-", "cuda-", "triton")))
    return "\n".join([*header, *(f"{name}=={versions[name]}" for name in names)]) + "\n"


def show_help(arguments: Sequence[str] = ()) -> int:
    """Print this overview."""
    print("python3 lab.py COMMAND [further arguments go to what the command starts]\n")
    for name, command in COMMANDS.items():
        print(f"  {name:<10} {command.summary}")
    return 0


@dataclass(frozen=True)
class Command:
    """One sub-command: `run` gets the arguments after its name and returns the exit status."""

    run: Callable[[Sequence[str]], int]
    summary: str


COMMANDS = {
    "run": Command(run, "start LLM Lab, e.g. `run --model bundled:encoder`; `run --help` lists its options"),
    "test": Command(test, "lint, format, types, import contracts and all tests, e.g. `test -k decoding`"),
    "check": Command(check, "the same without the slow tests"),
    "bench": Command(bench, "measure the budgets on this machine"),
    "snapshots": Command(snapshots, "write a picture of every panel to DIR (default: build/snapshots)"),
    "train": Command(train, "train the bundled models anew; `train --help` lists the options"),
    "package": Command(
        package, "make a bundle, .deb or .run: `package --format deb`; `--check` tries the bundle, minutes"
    ),
    "lock": Command(lock, "refresh constraints.txt within the limits of pyproject.toml"),
    "help": Command(show_help, "show this"),
}


def main(arguments: Sequence[str]) -> int:
    """Run the named command and return its exit status."""
    if sys.version_info < LOWEST_PYTHON:
        say(f"LLM Lab needs Python 3.11 or newer; this is {platform.python_version()} ({sys.executable}).")
        return CANNOT_START
    name = {"-h": "help", "--help": "help"}.get(arguments[0], arguments[0]) if arguments else "help"
    if name not in COMMANDS:
        say(f"there is no command {name!r}; `python3 lab.py help` lists them.")
        return CANNOT_START
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return COMMANDS[name].run(arguments[1:])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
