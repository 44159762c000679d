"""The wheel, installed outside the checkout: the command is there, and so are the models."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import llmlab

ROOT = Path(__file__).parents[2]
MODELS = ("decoder", "encoder", "seq2seq", "draft")
pytestmark = pytest.mark.slow


def finish(*command: str | Path, folder: Path) -> str:
    """Run `command` in `folder` and return its output; fail with what it said."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
    return result.stdout


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has the wheel and sees the packages of the one the tests run in."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def python(self, code: str) -> str:
        return finish(self.bin / "python", "-c", code, folder=self.folder)


def new_venv(folder: Path) -> Installed:
    """An environment without pip, which reads the outer packages but not the outer `.pth` files.

    So everything is there without a download, and the checkout can't be imported by accident.
    """
    finish(sys.executable, "-m", "venv", "--without-pip", "venv", folder=folder)
    inner = Installed(folder)
    site = Path(inner.python("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return inner


def pip_install(inner: Installed, *arguments: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", inner.bin / "python", "--disable-pip-version-check"]
    finish(*pip, "install", "--no-deps", "--no-index", *arguments, folder=inner.folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"]
    finish(*pip, "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, ROOT, folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    inner = new_venv(tmp_path_factory.mktemp("installed"))
    pip_install(inner, wheel)
    return inner


def test_wheel_holds_the_program_and_its_resources_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"llmlab", f"llmlab-{llmlab.__version__}.dist-info"}
    for model in MODELS:
        assert f"llmlab/resources/models/{model}/model.safetensors" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "llmlab/py.typed" in names


def test_wheel_from_the_source_archive_is_the_same(wheel: Path, tmp_path: Path) -> None:
    finish(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, folder=ROOT)
    archive = next(tmp_path.glob("*.tar.gz"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"]
    finish(*pip, "--no-deps", "--no-index", "--no-build-isolation", "-w", tmp_path, archive, folder=tmp_path)
    again = next(tmp_path.glob("*.whl"))
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_imports_come_from_the_wheel(installed: Installed) -> None:
    place = installed.python("import llmlab.paths; print(llmlab.__file__); print(llmlab.paths.resources())")
    assert str(ROOT) not in place
    assert place.count(str(installed.folder)) == 2


@pytest.mark.parametrize("model", MODELS)
def test_bundled_model_opens(model: str, installed: Installed) -> None:
    code = f"""
from llmlab.engine import Engine
engine = Engine.open("bundled:{model}", device="cpu")
print(len(engine.tokenize("Once upon a time").ids))
"""
    assert int(installed.python(code)) > 0


def test_command_is_there(installed: Installed) -> None:
    assert llmlab.__version__ in finish(installed.bin / "llmlab", "--version", folder=installed.folder)


def test_installation_passes_its_own_test(installed: Installed) -> None:
    said = finish(installed.bin / "llmlab", "--self-test", folder=installed.folder)
    assert said.endswith("everything works\n")


def test_snapshots_are_written(installed: Installed) -> None:
    finish(installed.bin / "llmlab", "--snapshot", "pictures", folder=installed.folder)
    pictures = list((installed.folder / "pictures").rglob("*.png"))
    assert pictures
    assert all(picture.stat().st_size > 5_000 for picture in pictures)


def test_editable_installation_uses_the_checkout(tmp_path: Path) -> None:
    inner = new_venv(tmp_path)
    pip_install(inner, "--no-build-isolation", "--editable", ROOT)
    assert inner.python("import llmlab.paths; print(llmlab.paths.resources())").strip() == str(ROOT / "resources")
