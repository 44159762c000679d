"""The scripts of `packaging/`, which is no package, and a bundle small enough to be made in no time."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A script by its path below `packaging/`, imported; its neighbours can be imported by it meanwhile."""

    def load(name: str) -> ModuleType:
        path = PACKAGING / name
        monkeypatch.syspath_prepend(str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def bundle(tmp_path: Path, script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a real bundle has, with a shell script for a program."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folder = tmp_path / "made" / "llmlab"
    (folder / "_internal").mkdir(parents=True)
    (folder / "llmlab").write_text("#!/bin/sh\necho the program ran\n")
    (folder / "LICENSE").write_text("free\n")
    (folder / "_internal" / "libsome.so.1").write_bytes(b"\0GLIBC_2.17\0GLIBC_2.34\0GLIBC_2.9\0")
    (folder / "_internal" / "libsome.so").symlink_to("libsome.so.1")
    make_bundle = script("bundle/make_bundle.py")
    make_bundle.add_desktop_files(folder / "share")
    make_bundle.tidy(folder)
    return folder
