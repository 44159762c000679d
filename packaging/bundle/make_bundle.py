"""Makes the one-folder bundle: PyInstaller, then what PyInstaller doesn't do.

`make_bundle.py FOLDER --work FOLDER` writes FOLDER/llmlab, and prints what it does. Needs the CPU build of torch.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import third_party

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# What Qt's xcb plugin is linked with, and PyInstaller only warns about where it is missing.
NEEDED_LIBRARIES = ("libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-keysyms.so.1", "libxkbcommon-x11.so.0")
# Nothing else may be stripped: numpy's OpenBLAS does not survive it.
STRIPPED = ("_internal/torch/lib/*.so", "_internal/libpython3.*.so*")


class CannotBuildError(Exception):
    """This machine lacks something; the message says what."""


def main() -> int:
    """Build, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the folder `llmlab` goes")
    parser.add_argument(
        "--work", type=Path, required=True, help="PyInstaller's own files; kept, the next build is faster"
    )
    arguments = parser.parse_args()
    try:
        check()
        make(arguments.folder.resolve(), arguments.work.resolve())
    except CannotBuildError as error:
        print(f"package: {error}", file=sys.stderr)
        return 2
    return 0


def check() -> None:
    """Raises CannotBuildError where the bundle would not be what it should be."""
    if cuda := torch_cuda():
        raise CannotBuildError(
            f"the installed torch is built for CUDA {cuda}, and the bundle would take several gigabytes. Install the "
            "CPU build of the same version into .venv (the selector on the PyTorch site has the command)."
        )
    if sys.platform == "linux":
        missing = [name for name in NEEDED_LIBRARIES if not loads(name)]
        if missing:
            raise CannotBuildError(f"these libraries are missing here and would be in the bundle: {', '.join(missing)}")
        if shutil.which("objdump") is None:
            raise CannotBuildError("objdump and strip are missing; Debian's package binutils has them")


def torch_cuda() -> str | None:
    """The CUDA version that the installed torch is built for; read from its file, which takes no time."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise CannotBuildError("torch is not installed in this environment")
    found = re.search(r"^cuda\b[^=]*= '([^']+)'", (Path(spec.origin).parent / "version.py").read_text(), re.MULTILINE)
    return found[1] if found else None


def loads(library: str) -> bool:
    """Whether the system's loader finds it."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def make(folder: Path, work: Path) -> None:
    """The bundle at `folder`/llmlab."""
    bundle = folder / "llmlab"
    run_pyinstaller(folder, work)
    if sys.platform == "linux":
        strip(bundle)
        forget_build_paths(bundle)
        add_desktop_files(bundle / "share")
    shutil.copy(ROOT / "LICENSE", bundle)
    third_party.write(bundle)
    check_links(bundle)
    tidy(bundle)


def check_links(bundle: Path) -> None:
    """Raises CannotBuildError for a link that leads nowhere: a file was left out, and the link to it was not."""
    broken = [path.name for path in bundle.rglob("*") if path.is_symlink() and not path.exists()]
    if broken:
        raise CannotBuildError(f"links that lead nowhere are in the bundle: {', '.join(broken)}; see contents.py")


def run_pyinstaller(folder: Path, work: Path) -> None:
    """Run it with a log, and show its last line while it works. Raises CannotBuildError."""
    work.mkdir(parents=True, exist_ok=True)
    log = work / "pyinstaller.log"
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", f"--workpath={work}", f"--distpath={folder}"]
    # a fixed hash seed makes the same archive of the same modules
    environment = {**os.environ, "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": str(source_date())}
    with (
        log.open("w", buffering=1, encoding="utf-8") as file,
        subprocess.Popen(
            [*command, str(HERE / "llmlab.spec")], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        for line in shown(process.stdout):
            file.write(line)
    if process.returncode:
        raise CannotBuildError(f"PyInstaller failed; {log} says why")


def shown(lines: Iterator[bytes]) -> Iterator[str]:
    """The lines as text; on a terminal the last one and the time are shown, elsewhere a line every half minute."""
    started = said = time.monotonic()
    terminal = sys.stderr.isatty()
    for line in lines:
        text = line.decode(errors="replace")
        yield text
        now = time.monotonic()
        if now - said >= (0.2 if terminal else 30):
            said = now
            words = f"{now - started:4.0f} s  {text.strip().partition('INFO: ')[2][:90]}"
            print(f"\r{words:<100}" if terminal else words, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal:
        print("\r" + " " * 100 + "\r", end="", file=sys.stderr)


def source_date() -> int:
    """Seconds since 1970 of the last commit, or of pyproject.toml where there is no Git; SOURCE_DATE_EPOCH wins."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(git, capture_output=True, text=True, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return int((ROOT / "pyproject.toml").stat().st_mtime)


def strip(bundle: Path) -> None:
    """Take the symbol tables out of the largest libraries."""
    files = [path for pattern in STRIPPED for path in sorted(bundle.glob(pattern)) if not path.is_symlink()]
    subprocess.run(["strip", "--strip-unneeded", *map(str, files)], check=True)


def forget_build_paths(bundle: Path) -> None:
    """Empty the RUNPATH in modules of the building Python, which names a folder of this machine.

    The text becomes NULs of the same length, which the dynamic linker takes for no RUNPATH at all.
    """
    place = f"\0{Path(sys.base_prefix) / 'lib'}\0".encode()
    for path in bundle.rglob("*.so*"):
        if path.is_file() and not path.is_symlink() and place in (content := path.read_bytes()):
            path.write_bytes(content.replace(place, bytes(len(place))))


def add_desktop_files(share: Path) -> None:
    """Icon, menu entry and description, as installers and desktops expect them below `share`."""
    for source, place in (
        (HERE.parent / "linux" / "llmlab.desktop", "applications"),
        (HERE.parent / "linux" / "llmlab.metainfo.xml", "metainfo"),
        (ROOT / "resources" / "icons" / "llmlab.svg", "icons/hicolor/scalable/apps"),
    ):
        (share / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, share / place)


def tidy(bundle: Path) -> None:
    """The same permissions and dates whoever builds, whenever: 755 for folders and programs, 644 for the rest."""
    date = source_date()
    for path in [bundle, *bundle.rglob("*")]:
        if not path.is_symlink():
            program = path.is_dir() or path == bundle / "llmlab" or path.name == "torch_shm_manager"
            path.chmod(0o755 if program else 0o644)
        os.utime(path, (date, date), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
