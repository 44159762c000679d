"""Makes the Debian package from the bundle: `make_deb.py BUNDLE FOLDER` writes FOLDER/llmlab_VERSION_ARCHITECTURE.deb.

The program goes to /opt/llmlab, as packages from outside a distribution should (FHS 3.13), with a command, a menu
entry, an icon, a manual page and its licences where the system looks for them. Nothing is run at installation.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLACE = "opt/llmlab"
REVISION = 1  # of the package, where the program stays the same
# Everything else is in the bundle. Tried on a bare Debian 12, where one more that is missing shows at once.
DEPENDS = ("libgl1", "libegl1", "libxcb1", "libfontconfig1", "libstdc++6", "libgcc-s1")
RECOMMENDS = ("fonts-dejavu-core | fonts-noto-core", "ca-certificates")
_GLIBC = re.compile(rb"GLIBC_2\.(\d+)\b")


def main() -> int:
    """Build, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("package: dpkg-deb is missing; a Debian package can only be made where it is", file=sys.stderr)
        return 2
    print(make(arguments.bundle, arguments.folder))
    return 0


def make(bundle: Path, folder: Path) -> Path:
    """The package, in `folder`."""
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    name = f"llmlab_{version()}-{REVISION}_{architecture.stdout.strip()}.deb"
    folder.mkdir(parents=True, exist_ok=True)
    date = int(bundle.stat().st_mtime)
    # beside the bundle, so that its files are linked and not copied
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix="deb-") as place:
        tree = Path(place) / "tree"
        lay_out(bundle, tree, changelog(date))
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            control(architecture.stdout.strip(), installed_size(tree), oldest_glibc(bundle)), "utf-8"
        )
        (tree / "DEBIAN" / "md5sums").write_text(md5sums(tree), "utf-8")
        _tidy(tree, date)
        pack = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(folder / name)]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(date)})
    return folder / name


def version() -> str:
    """The program's."""
    found = re.search(r'__version__ = "(.+)"', (ROOT / "llmlab" / "__init__.py").read_text("utf-8"))
    assert found is not None
    return found[1]


def control(architecture: str, kibibytes: int, glibc: int) -> str:
    """The control file. `glibc`: the minor version of the oldest glibc 2 that has every symbol asked for."""
    fields = (HERE / "control").read_text("utf-8")
    return fields.format(
        version=f"{version()}-{REVISION}",
        architecture=architecture,
        size=kibibytes,
        depends=", ".join((f"libc6 (>= 2.{glibc})", *DEPENDS)),
        recommends=", ".join(RECOMMENDS),
    )


def changelog(date: int) -> str:
    """The package's own changelog, which says only that it was made; the program's lies beside it."""
    (maintainer,) = re.findall(r"^Maintainer: (.+)$", (HERE / "control").read_text("utf-8"), re.MULTILINE)
    entry = f"llmlab ({version()}-{REVISION}) unstable; urgency=medium\n\n  * LLM Lab {version()}: see changelog.gz.\n"
    return f"{entry}\n -- {maintainer}  {format_datetime(datetime.fromtimestamp(date, UTC))}\n"


def oldest_glibc(bundle: Path) -> int:
    """The highest GLIBC_2.x among the versions of symbols that programs and libraries ask for: x."""
    minors = {28}  # what torch's and Qt's wheels ask for at the least
    for path in [bundle / "llmlab", *bundle.rglob("*.so*")]:
        if path.is_file() and not path.is_symlink():
            minors.update(int(minor) for minor in _GLIBC.findall(path.read_bytes()))
    return max(minors)


def lay_out(bundle: Path, tree: Path, debian_changelog: str) -> None:
    """Everything at its place below `tree`."""
    shutil.copytree(bundle, tree / PLACE, copy_function=os.link, symlinks=True, ignore=shutil.ignore_patterns("share"))
    shutil.copytree(bundle / "share", tree / "usr" / "share")
    (tree / "usr" / "bin").mkdir()
    (tree / "usr" / "bin" / "llmlab").symlink_to(f"/{PLACE}/llmlab")
    documents = tree / "usr" / "share" / "doc" / "llmlab"
    documents.mkdir(parents=True)
    shutil.copy(HERE / "copyright", documents)
    _compress((ROOT / "CHANGELOG.md").read_bytes(), documents / "changelog.gz")
    _compress(debian_changelog.encode(), documents / "changelog.Debian.gz")
    manuals = tree / "usr" / "share" / "man" / "man1"
    manuals.mkdir(parents=True)
    manual = (HERE / "llmlab.1").read_text("utf-8").replace("@VERSION@", version())
    _compress(manual.encode(), manuals / "llmlab.1.gz")


def installed_size(tree: Path) -> int:
    """KiB, as Policy 5.6.20 counts: each file rounded up, and one for anything else."""
    paths = list(tree.rglob("*"))
    return sum(-(-path.stat().st_size // 1024) if path.is_file() and not path.is_symlink() else 1 for path in paths)


def md5sums(tree: Path) -> str:
    """The checksums of all files that are installed, for `dpkg --verify`."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    lines = []
    for path in files:
        if "DEBIAN" not in path.relative_to(tree).parts:
            with path.open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'md5').hexdigest()}  {path.relative_to(tree)}\n")
    return "".join(lines)


def _compress(content: bytes, path: Path) -> None:
    """As `gzip -9n` does: without a date, so that the same content makes the same file."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(content)


def _tidy(tree: Path, date: int) -> None:
    """Permissions and dates of what is not the bundle's own, which is linked and right already."""
    for path in [tree, *tree.rglob("*")]:
        if PLACE.partition("/")[0] not in path.relative_to(tree).parts[:1] and not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (date, date), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
