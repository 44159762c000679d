"""The parts that others wrote, and their licences: a list, and the texts, made from what is really in the bundle."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

LIST = "THIRD-PARTY.md"
TEXTS = "licences"
_TEXT_NAMES = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*", re.IGNORECASE)
_HEAD = """# Parts of LLM Lab that others wrote

LLM Lab itself is under the Apache License 2.0 (LICENSE). This bundle holds the following, unchanged. The folder
`licences` has their texts. Qt and PySide6 are used under the GNU Lesser General Public License, version 3: they lie
as libraries of their own in `_internal/PySide6`, and may be exchanged for others of the same interface; their sources
are at Qt's site under the versions named here. The bundled models have their licences in
`_internal/llmlab/resources/models`.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One work: `kind` is "Python package" or "system library"; `texts` are its licences on this machine."""

    kind: str
    name: str
    version: str
    licence: str
    texts: tuple[Path, ...]


def write(bundle: Path) -> list[Part]:
    """Write the list and the texts into `bundle`; returns what is in the list."""
    parts = [*python(), *packages(bundle / "_internal"), *system_libraries(bundle / "_internal")]
    texts = bundle / TEXTS
    shutil.rmtree(texts, ignore_errors=True)
    lines = [_HEAD, "| part | version | licence | kind |", "| --- | --- | --- | --- |"]
    for part in parts:
        lines.append(f"| {part.name} | {part.version} | {part.licence} | {part.kind} |")
        _copy(part, texts / part.name)
    (bundle / LIST).write_text("\n".join(lines) + "\n", "utf-8")
    return parts


def _copy(part: Part, folder: Path) -> None:
    for text in part.texts:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / text.name
        number = 1
        while place.exists():
            number += 1
            place = folder / f"{text.stem}-{number}{text.suffix}"
        shutil.copyfile(text, place)


def python() -> Iterator[Part]:
    """The interpreter itself."""
    places = [Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"]
    texts = tuple(place for place in places[:1] if place.is_file()) or tuple(p for p in places[1:] if p.is_file())
    yield Part("interpreter", "Python", sys.version.split()[0], "PSF-2.0", texts)


def packages(internal: Path) -> Iterator[Part]:
    """Installed distributions with a file in the bundle, or a module in its archive."""
    modules = archived_modules(internal.parent)
    for found in sorted(distributions(), key=lambda each: each.name.lower()):
        if found.name != "llmlab" and _is_in(found, internal, modules):
            texts = [found.locate_file(file) for file in found.files or () if _TEXT_NAMES.fullmatch(file.name)]
            paths = tuple(Path(str(text)) for text in texts if Path(str(text)).is_file())
            yield Part("Python package", found.name, found.version, licence_of(found), paths)


def archived_modules(bundle: Path) -> set[str]:
    """The top names of the modules in the program's own archive."""
    from PyInstaller.archive.readers import CArchiveReader

    archive = CArchiveReader(str(bundle / "llmlab"))
    name = next(name for name in archive.toc if name.endswith(".pyz"))
    return {module.partition(".")[0] for module in archive.open_embedded_archive(name).toc}


def _is_in(found: Distribution, internal: Path, modules: set[str]) -> bool:
    for file in found.files or ():
        top = file.parts[0]
        if top == ".." or top.endswith((".dist-info", ".pth")) or top == "__pycache__":
            continue
        if file.suffix == ".py" and top.removesuffix(".py") in modules:
            return True
        if file.suffix != ".py" and (internal / file).is_file():
            return True
    return False


def licence_of(found: Distribution) -> str:
    """As the package says it: as an SPDX expression, in a classifier, or in words."""
    facts = found.metadata
    if "License-Expression" in facts:
        return facts["License-Expression"]
    classified = [each.rpartition(" :: ")[2] for each in facts.get_all("Classifier") or () if each[:7] == "License"]
    said = facts["License"].strip() if "License" in facts else ""
    return "; ".join(classified) or (said if len(said.splitlines()) == 1 else "see its text")


def system_libraries(internal: Path) -> Iterator[Part]:
    """Libraries of this system that PyInstaller took along, by Debian package; none where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return
    owners: dict[str, str] = {}
    for library in sorted(internal.glob("lib*.so*")):
        if library.is_symlink() or library.name.startswith("libpython"):
            continue  # the interpreter is a part of its own, though the system may have one of the same name
        if package := _owner(library.name):
            owners.setdefault(package, library.name)
    for package in sorted(owners):
        show = ["dpkg-query", "--show", "--showformat=${Version}", package]
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        text = Path("/usr/share/doc") / package.partition(":")[0] / "copyright"
        yield Part(
            "system library", package.partition(":")[0], version, "see its text", (text,) if text.is_file() else ()
        )


def _owner(library: str) -> str | None:
    """The Debian package whose file it is; None for libraries that came with Python packages."""
    found = subprocess.run(["dpkg-query", "--search", f"*/{library}"], capture_output=True, text=True, check=False)
    places = [line.rpartition(": ") for line in found.stdout.splitlines()]
    usual = [owner for owner, _, path in places if Path(path).parent.name == f"{platform.machine()}-linux-gnu"]
    return usual[0].partition(",")[0] if usual else None
