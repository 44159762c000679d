"""The Debian package and the self-extracting installer, made from a bundle of a few bytes, installed and removed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from llmlab import __version__, cli

ROOT = Path(__file__).parents[2]
LINUX = ROOT / "packaging" / "linux"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="installers for Linux")


def run(*command: str | Path, home: Path, status: int = 0) -> str:
    """What `command` prints, both streams, with `home` for a home."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == status, done.stdout
    return done.stdout


# --- menu entry and description -------------------------------------------------------------------------------


def test_menu_entry_names_the_command_and_the_icon() -> None:
    entry = configparser.RawConfigParser(delimiters=("=",))
    entry.optionxform = str  # type: ignore[assignment]
    entry.read(LINUX / "llmlab.desktop", "utf-8")
    fields = entry["Desktop Entry"]
    assert fields["Type"] == "Application"
    assert fields["Exec"] == "llmlab %F"
    assert (ROOT / "resources" / "icons" / f"{fields['Icon']}.svg").is_file()
    assert fields["StartupWMClass"] == "llmlab"  # what app.py tells the desktop
    assert "Version" not in fields  # older validators know no 1.5


@pytest.mark.skipif(shutil.which("desktop-file-validate") is None, reason="desktop-file-utils are not installed")
def test_menu_entry_is_valid() -> None:
    assert run("desktop-file-validate", LINUX / "llmlab.desktop", home=ROOT) == ""


def test_description_leads_to_the_menu_entry() -> None:
    root = ElementTree.parse(LINUX / "llmlab.metainfo.xml").getroot()
    assert root.findtext("launchable") == "llmlab.desktop"
    assert root.findtext("project_license") == "Apache-2.0"
    assert root.findtext("provides/binary") == "llmlab"


# --- Debian package -------------------------------------------------------------------------------------------


def test_manual_has_every_option() -> None:
    manual = (ROOT / "packaging" / "deb" / "llmlab.1").read_text("utf-8").replace("\\-", "-")
    for action in cli.parser()._actions:
        assert not action.option_strings or action.option_strings[-1] in manual, action.option_strings


def test_control_file_names_what_it_needs(script) -> None:
    control = script("deb/make_deb.py").control("amd64", 12345, 36)
    fields = dict(re.findall(r"^(\S+): (.+)$", control, re.MULTILINE))
    assert fields["Version"] == f"{__version__}-1"
    assert fields["Installed-Size"] == "12345"
    assert "libc6 (>= 2.36), libgl1, libegl1, libxcb1, libfontconfig1" in fields["Depends"]
    assert all(len(line) <= 80 for line in control.splitlines() if line.startswith(" "))


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed")
def test_debian_package_has_everything_at_its_place(script, bundle: Path, tmp_path: Path) -> None:
    make_deb = script("deb/make_deb.py")
    package = make_deb.make(bundle, tmp_path / "out")
    listed = run("dpkg-deb", "--contents", package, home=tmp_path)
    paths = {line.split()[5].removeprefix("./"): line.split()[0] for line in listed.splitlines()}
    assert paths["opt/llmlab/llmlab"] == "-rwxr-xr-x"
    assert "usr/bin/llmlab -> /opt/llmlab/llmlab" in listed
    for name in (
        "usr/share/applications/llmlab.desktop",
        "usr/share/icons/hicolor/scalable/apps/llmlab.svg",
        "usr/share/metainfo/llmlab.metainfo.xml",
        "usr/share/man/man1/llmlab.1.gz",
        "usr/share/doc/llmlab/copyright",
        "usr/share/doc/llmlab/changelog.gz",
        "usr/share/doc/llmlab/changelog.Debian.gz",
    ):
        assert paths[name] == "-rw-r--r--", name
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())
    assert "libc6 (>= 2.34)" in run("dpkg-deb", "--field", package, "Depends", home=tmp_path)
    again = make_deb.make(bundle, tmp_path / "again")
    assert again.read_bytes() == package.read_bytes()


def test_bundle_is_untouched_by_the_package(script, bundle: Path, tmp_path: Path) -> None:
    before = {path: path.lstat().st_mode for path in bundle.rglob("*")}
    tree = tmp_path / "made" / "tree"
    script("deb/make_deb.py").lay_out(bundle, tree, "")
    assert {path: path.lstat().st_mode for path in bundle.rglob("*")} == before
    assert (tree / "opt" / "llmlab" / "_internal" / "libsome.so").is_symlink()
    assert not (tree / "opt" / "llmlab" / "share").exists()


# --- self-extracting installer --------------------------------------------------------------------------------


@pytest.fixture
def installer(script, bundle: Path, tmp_path: Path) -> Path:
    if shutil.which("xz") is None:
        pytest.skip("xz is not installed")
    made: Path = script("run/make_run.py").make(bundle, tmp_path / "out")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "a home with $pace"
    place.mkdir()
    return place


def test_installs_starts_and_leaves_nothing(installer: Path, home: Path) -> None:
    run("sh", installer, home=home)
    local = home / ".local"
    assert run(local / "bin" / "llmlab", home=home) == "the program ran\n"
    entry = (local / "share" / "applications" / "llmlab.desktop").read_text("utf-8")
    program = f"{local}/opt/llmlab/llmlab".replace("$", r"\\$")  # a backslash for the quotes, and one for that
    assert f'Exec="{program}" %F\n' in entry
    assert run("sh", local / "opt" / "llmlab" / "uninstall.sh", home=home).startswith("LLM Lab was removed")
    assert [path for path in home.rglob("*") if not path.is_dir()] == []


def test_installs_over_itself_and_elsewhere(installer: Path, home: Path) -> None:
    for _ in range(2):
        run("sh", installer, "--prefix", home / "elsewhere", "--quiet", home=home)
    assert run(home / "elsewhere" / "bin" / "llmlab", home=home) == "the program ran\n"
    assert [path.name for path in (home / "elsewhere" / "opt").iterdir()] == ["llmlab"]
    assert not (home / ".local").exists()


def test_a_file_that_did_not_arrive_as_sent_is_refused(installer: Path, home: Path) -> None:
    assert "It is whole." in run("sh", installer, "--check", home=home)
    content = installer.read_bytes()
    installer.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "did not arrive as it was sent" in run("sh", installer, home=home, status=1)
    installer.write_bytes(content[:-5])
    assert "did not arrive as it was sent" in run("sh", installer, home=home, status=1)
    assert list(home.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(installer: Path, home: Path) -> None:
    theirs = home / ".local" / "opt" / "llmlab" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    assert "is there already" in run("sh", installer, home=home, status=1)
    assert theirs.read_text() == "years of work"


def test_unknown_options_are_refused(installer: Path, home: Path) -> None:
    assert "usage:" in run("sh", installer, "--nonsense", home=home, status=2)
    assert "--prefix" in run("sh", installer, "--help", home=home)
    assert list(home.iterdir()) == []


def test_the_same_bundle_makes_the_same_installer(installer: Path, script, bundle: Path, tmp_path: Path) -> None:
    assert script("run/make_run.py").make(bundle, tmp_path / "again").read_bytes() == installer.read_bytes()


# --- lab.py package -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "scripts"),
    [
        ([], ["make_bundle"]),
        (["--check"], ["make_bundle", "selftest"]),
        (["--format", "deb"], ["make_bundle", "make_deb"]),
        (["--format", "all", "--check"], ["make_bundle", "selftest", "make_deb", "make_run"]),
        (["--format", "run", "--keep"], ["make_run"]),
    ],
)
def test_steps(arguments: list[str], scripts: list[str], script, monkeypatch: pytest.MonkeyPatch) -> None:
    package = script("package.py")
    started: list[Path] = []
    monkeypatch.setattr(sys, "argv", ["package.py", *arguments])
    monkeypatch.setattr(package.subprocess, "call", lambda command: started.append(Path(command[1])) or 0)
    assert package.main() == 0
    assert [path.stem for path in started] == scripts
    assert all(path.is_file() for path in started)


def test_the_first_step_that_fails_ends_it(script, monkeypatch: pytest.MonkeyPatch) -> None:
    package = script("package.py")
    started: list[str] = []
    monkeypatch.setattr(sys, "argv", ["package.py", "--format", "all"])
    monkeypatch.setattr(package.subprocess, "call", lambda command: started.append(command[1]) or 2)
    assert package.main() == 2
    assert len(started) == 1
