"""Makes the self-extracting installer for one user, FOLDER/llmlab-VERSION-MACHINE.run: `make_run.py BUNDLE FOLDER`.

A shell script (install.sh) with the bundle as a tar.xz behind it. It needs no root: everything goes below ~/.local.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_MARK = re.compile(r"@([A-Z0-9]+)@")


def main() -> int:
    """Build, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(make(arguments.bundle, arguments.folder))
    return 0


def make(bundle: Path, folder: Path) -> Path:
    """The installer, in `folder`."""
    installer = folder / f"llmlab-{version()}-{platform.machine()}.run"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as place:
        payload = Path(place) / "payload"
        pack(bundle, payload)
        with payload.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        text = script(payload.stat().st_size, sha256, size(bundle))
        whole = Path(place) / installer.name
        with whole.open("wb") as file, payload.open("rb") as packed:
            file.write(text.encode())
            shutil.copyfileobj(packed, file)
        whole.chmod(0o755)
        whole.replace(installer)
    return installer


def pack(bundle: Path, payload: Path) -> None:
    """Write the bundle as tar.xz, the same for the same files."""
    names = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]
    tar = ["tar", "--create", *names, "--directory", str(bundle.parent), bundle.name]
    with payload.open("wb") as file, subprocess.Popen(tar, stdout=subprocess.PIPE) as process:
        # one thread or many make different files: always many, with blocks of one size
        xz = ["xz", "-6", "--threads=0", "--block-size=24MiB", "--stdout"]
        subprocess.run(xz, stdin=process.stdout, stdout=file, check=True)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, tar)


def script(payload_bytes: int, sha256: str, installed_bytes: int) -> str:
    """The shell script that stands before the payload."""
    values = {
        "VERSION": version(),
        "BYTES": str(payload_bytes),
        "SHA256": sha256,
        "MACHINE": platform.machine(),
        "MEGABYTES": str(-(-installed_bytes // 10**6)),
    }
    return _MARK.sub(lambda found: values[found[1]], (HERE / "install.sh").read_text("utf-8"))


def size(bundle: Path) -> int:
    """Bytes of all files."""
    return sum(path.lstat().st_size for path in bundle.rglob("*") if not path.is_dir() or path.is_symlink())


def version() -> str:
    """The program's."""
    found = re.search(r'__version__ = "(.+)"', (ROOT / "llmlab" / "__init__.py").read_text("utf-8"))
    assert found is not None
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
