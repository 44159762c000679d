"""lab.py: what it installs, when it installs it, and what it passes on. Nothing is installed here."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lab

ROOT = Path(__file__).parents[2]
SITE = "Lib/site-packages" if os.name == "nt" else "lib/python3/site-packages"


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """`lab.main` sets a handler for its own process; this one keeps its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command lab.py would run to completion; all of them succeed."""
    made: list[list[str]] = []

    def call(command: list[str], **_: object) -> int:
        made.append([os.fspath(part) for part in command])
        return 0

    monkeypatch.setattr(subprocess, "call", call)
    return made


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]) -> Path:
    """A copy of what lab.py reads, with a `.venv` that passes for a working one."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(lab, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(lab, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setattr(lab, "venv_works", lambda: True)
    monkeypatch.setattr(lab, "missing_packages", lambda screen, new_venv: [])
    (tmp_path / ".venv" / SITE).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend to be on a Debian that lacks `missing` libraries."""

    def pretend(*missing: str, root: bool = False, fonts: bool = True) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(lab, "can_load", lambda library: library not in missing)
        monkeypatch.setattr(lab, "has_fonts", lambda: fonts)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000, raising=False)

    return pretend


# --- system packages ------------------------------------------------------------------------------------------


def test_a_user_gets_one_line_to_copy(debian, calls, capsys) -> None:
    debian("libGL.so.1", "libxcb-cursor.so.0")
    with pytest.raises(SystemExit) as stop:
        lab.provide_system_packages(screen=True, new_venv=False)
    assert stop.value.code == 2
    assert "sudo apt-get install -y --no-install-recommends libgl1 libxcb-cursor0\n" in capsys.readouterr().err
    assert calls == []


def test_root_installs(debian, calls) -> None:
    debian("libEGL.so.1", root=True, fonts=False)
    lab.provide_system_packages(screen=False, new_venv=False)
    assert calls == [
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "libegl1", "fonts-dejavu-core"],
    ]


def test_without_a_screen_xcb_is_not_asked_for(debian, calls) -> None:
    debian("libxcb-cursor.so.0", root=True)
    lab.provide_system_packages(screen=False, new_venv=False)
    assert calls == []


def test_venv_module_is_asked_for_only_where_one_is_made(debian, monkeypatch) -> None:
    debian()
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    assert lab.missing_packages(screen=True, new_venv=False) == []
    assert lab.missing_packages(screen=True, new_venv=True) == [f"python3.{sys.version_info[1]}-venv"]


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_left_alone(system, debian, calls, monkeypatch) -> None:
    debian("libGL.so.1", root=True)
    monkeypatch.setattr(sys, "platform", system)
    lab.provide_system_packages(screen=True, new_venv=True)
    assert calls == []


def test_another_linux_is_told_and_goes_on(debian, calls, monkeypatch, capsys) -> None:
    debian("libGL.so.1", root=True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    lab.provide_system_packages(screen=True, new_venv=False)
    assert "libgl1" in capsys.readouterr().err
    assert calls == []


def test_fonts_are_found_in_any_depth(tmp_path: Path) -> None:
    assert not lab.has_fonts([str(tmp_path), str(tmp_path / "none")])
    (tmp_path / "truetype" / "a").mkdir(parents=True)
    (tmp_path / "truetype" / "a" / "A.ttf").touch()
    assert lab.has_fonts([str(tmp_path)])


# --- what is installed, and when ------------------------------------------------------------------------------


def test_second_call_installs_nothing(checkout, calls) -> None:
    lab.prepare("run")
    assert len(calls) == 1
    lab.prepare("run")
    assert len(calls) == 1


def test_development_set_serves_the_program_too(checkout, calls) -> None:
    lab.prepare("dev")
    lab.prepare("run")
    assert len(calls) == 1


def test_program_set_does_not_serve_development(checkout, calls) -> None:
    lab.prepare("run")
    lab.prepare("dev")
    assert len(calls) == 2
    assert not any(part.startswith("pytest") for part in calls[0])
    assert any(part.startswith("pytest") for part in calls[1])


def test_the_bundler_is_installed_by_its_own_command_alone(checkout, calls) -> None:
    lab.prepare("dev")
    assert not any("pyinstaller" in part for part in calls[0])
    lab.prepare("package")
    assert any(part.startswith("pyinstaller") for part in calls[1])
    lab.prepare("dev")
    lab.prepare("run")
    assert len(calls) == 2


@pytest.mark.parametrize("file", ["constraints.txt", "pyproject.toml"])
def test_new_versions_are_installed(file: str, checkout, calls) -> None:
    lab.prepare("run")
    path = checkout / file
    path.write_text(path.read_text().replace("numpy>=2.0", "numpy>=2.1").replace("psutil==", "psutil==9"))
    lab.prepare("run")
    assert len(calls) == 2


def test_a_change_of_lint_rules_installs_nothing(checkout, calls) -> None:
    lab.prepare("dev")
    path = checkout / "pyproject.toml"
    path.write_text(path.read_text() + "\n[tool.other]\nkey = 1\n")
    lab.prepare("dev")
    assert len(calls) == 1


def test_a_failed_installation_is_tried_again(checkout, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "call", lambda *_, **__: 1)
    with pytest.raises(SystemExit) as stop:
        lab.prepare("run")
    assert stop.value.code == 2
    assert not lab.is_installed("run")


def test_a_cut_off_package_is_installed_again(checkout) -> None:
    site = checkout / ".venv" / SITE
    for name, complete in (("whole-1.0.dist-info", True), ("half-1.0.dist-info", False)):
        (site / name).mkdir()
        (site / name / "METADATA").touch()
        if complete:
            (site / name / "RECORD").touch()
    lab.prepare("run")
    assert [path.name for path in site.glob("*.dist-info")] == ["whole-1.0.dist-info"]


def test_a_broken_venv_is_made_anew(checkout, calls, monkeypatch) -> None:
    monkeypatch.setattr(lab, "venv_works", lambda: False)
    lab.prepare("run")
    assert calls[0][1:] == ["-m", "venv", "--clear", str(checkout / ".venv")]
    assert calls[1][1:4] == ["-m", "pip", "install"]


def test_torch_is_always_named_with_its_exact_version(checkout, calls) -> None:
    lab.prepare("run")
    assert any(part.startswith("torch==") for part in calls[0])
    assert "--constraint" in calls[0]


def test_checkout_can_be_imported_from_the_venv(checkout) -> None:
    lab.prepare("run")
    assert (checkout / ".venv" / SITE / "llmlab-checkout.pth").read_text().strip() == str(checkout)


def test_constraints_are_plain_pins_for_every_dependency() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert not any("+" in version or " " in version for version in pins.values())
    assert list(pins) == sorted(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["dev"], *extras["package"]]:
        name = requirement.partition(">")[0].partition("=")[0].lower().replace("_", "-")
        assert name in pins


def test_new_constraints_drop_what_belongs_to_one_machine(checkout) -> None:
    resolved = [
        {"name": "torch", "version": "2.13.0+cpu"},
        {"name": "nvidia-cublas", "version": "13.0"},
        {"name": "Some_Package", "version": "1.0"},
    ]
    lines = lab.constraints_text(resolved).splitlines()
    assert lines[0].startswith("#")
    assert [line for line in lines if not line.startswith("#")] == ["some-package==1.0", "torch==2.13.0"]


# --- commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Every child lab.py would start, with its settings; all of them fail with status 3."""
    made: list[tuple[list[str], dict[str, str]]] = []

    def start(command, settings, folder=None) -> int:
        made.append(([os.fspath(part) for part in command], dict(settings)))
        return 3

    monkeypatch.setattr(lab, "start", start)
    monkeypatch.setattr(lab, "prepare", lambda kind, screen=False: None)
    return made


def test_run_passes_arguments_and_status_on(started) -> None:
    assert lab.main(["run", "--model", "bundled:encoder", "a file.txt"]) == 3
    command, settings = started[0]
    assert command[1:] == ["-P", "-m", "llmlab", "--model", "bundled:encoder", "a file.txt"]
    assert "QT_QPA_PLATFORM" not in settings


def test_package_hands_its_options_on_and_needs_qts_libraries(started, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(lab, "prepare", lambda kind, screen=False: asked.append((kind, screen)))
    assert lab.main(["package", "--format", "deb"]) == 3
    assert asked == [("package", True)]
    assert started[0][0][-2:] == ["--format", "deb"]
    assert Path(started[0][0][2]).is_file()


@pytest.mark.parametrize("option", ["--snapshot", "--snapshot=out", "--version", "--help"])
def test_run_without_a_window_needs_no_screen(option: str, started, monkeypatch) -> None:
    screens = []
    monkeypatch.setattr(lab, "prepare", lambda kind, screen=False: screens.append(screen))
    lab.main(["run", option])
    assert screens == [False]
    assert started[0][1]["QT_QPA_PLATFORM"] == "offscreen"


def test_test_runs_every_stage_and_names_what_failed(started, capsys) -> None:
    assert lab.main(["test", "-k", "decoding"]) == 1
    assert len(started) == 5
    assert started[-1][0][1:] == ["-m", "pytest", *lab.AT_ONCE, "-k", "decoding"]
    assert "FAILED: lint, format, types, imports, tests" in capsys.readouterr().err


def test_check_leaves_slow_tests_out(started) -> None:
    lab.main(["check"])
    assert started[-1][0][-3:] == ["-m", "not slow", "--hypothesis-profile=quick"]


def test_unknown_command_is_named(capsys) -> None:
    assert lab.main(["dance"]) == 2
    assert "'dance'" in capsys.readouterr().err


def test_old_python_is_told_what_it_needs(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert lab.main(["run"]) == 2
    assert "Python 3.11 or newer" in capsys.readouterr().err


def test_help_lists_every_command(capsys) -> None:
    assert lab.main([]) == lab.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in lab.COMMANDS)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_status_of_a_child_that_a_signal_ended() -> None:
    assert lab.start([sys.executable, "-c", "import os; os.abort()"], {}) == 128 + 6


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_ends_the_child_too(tmp_path: Path) -> None:
    code = """
import lab, sys
child = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
lab.COMMANDS["run"] = lab.Command(lambda arguments: lab.start(child, {}), "")
sys.exit(lab.main(["run"]))
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.stdout.read() == ""  # the child held the other end of this pipe
        assert process.wait() == 128 + 15


def test_needs_only_the_standard_library_and_reads_on_old_pythons() -> None:
    tree = ast.parse((ROOT / "lab.py").read_text(), feature_version=(3, 7))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
    }
    assert imported <= sys.stdlib_module_names
