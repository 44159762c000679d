"""Who may import whom, seen at run time: each claim is tried in a fresh process.

The contracts in pyproject.toml (import-linter) look at the source; they cannot see what an import drags in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "llmlab"
HEAVY = ("torch", "transformers", "accelerate", "bitsandbytes")
WINDOW = ("PySide6", "shiboken6")


def python(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def modules(folder: str) -> list[str]:
    """Dotted names of all modules under llmlab/`folder`."""
    files = sorted((PACKAGE / folder).rglob("*.py"))
    parts = [file.relative_to(PACKAGE.parent).with_suffix("").parts for file in files]
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


def imported_by(names: list[str], unwanted: tuple[str, ...]) -> dict[str, list[str]]:
    """The first of `names` to bring `unwanted` packages into a fresh process, with those packages."""
    code = f"""
import importlib, json, sys
found = {{}}
for name in {names!r}:
    importlib.import_module(name)
    new = [package for package in {unwanted!r} if package in sys.modules]
    if new:
        found[name] = new
        break
print(json.dumps(found))
"""
    return json.loads(python(code))


def test_window_opens_without_torch() -> None:
    assert imported_by(["llmlab.ui.window"], HEAVY) == {}


def test_nothing_under_ui_brings_torch() -> None:
    assert imported_by(modules("ui"), HEAVY) == {}


def test_command_line_is_parsed_before_anything_heavy_is_imported() -> None:
    assert imported_by(["llmlab.__main__"], (*HEAVY, "huggingface_hub", *WINDOW)) == {}


def test_catalog_and_settings_bring_neither_torch_nor_qt() -> None:
    assert imported_by(["llmlab.engine.catalog", "llmlab.settings"], HEAVY + WINDOW) == {}


def test_works_with_qt_blocked() -> None:
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in WINDOW)
    names = [*modules("engine"), *modules("training")]
    imports = "; ".join(f"import {name}" for name in names if not name.endswith("__main__"))
    assert python(f"import sys; {blocked}; {imports}; print('ok')") == "ok\n"


def test_worker_works_with_qt_blocked() -> None:
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in WINDOW)
    assert python(f"import sys; {blocked}; import llmlab.jobs.worker; print('ok')") == "ok\n"


def test_no_package_shadows_another() -> None:
    """`packaging/` of the checkout is on sys.path too: an __init__.py would let it shadow PyPI's."""
    assert not (PACKAGE.parent / "packaging" / "__init__.py").exists()
    assert "site-packages" in python("import packaging.version; print(packaging.__file__)")
