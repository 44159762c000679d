"""What goes into the bundle. PyInstaller is not needed here, and nothing is built: `lab.py package` does that."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from email.message import Message
from importlib.util import find_spec
from pathlib import Path

import pytest

from llmlab import children, paths

ROOT = Path(__file__).parents[2]


@pytest.fixture
def contents(script):
    return script("bundle/contents.py")


@pytest.fixture
def make_bundle(script):
    return script("bundle/make_bundle.py")


@pytest.fixture(scope="module")
def hidden() -> set[str]:
    sys.path.insert(0, str(ROOT / "packaging" / "bundle"))
    try:
        import contents  # type: ignore[import-not-found]

        return set(contents.hidden_imports())
    finally:
        sys.path.pop(0)
        sys.modules.pop("contents", None)


def test_every_child_is_in_the_bundle(hidden: set[str]) -> None:
    found = [each.module for each in vars(children).values() if isinstance(each, children.Child)]
    assert len(found) >= 4
    assert set(found) <= hidden


def test_every_module_of_the_program_is_in_the_bundle(hidden: set[str]) -> None:
    files = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "llmlab").rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in files}
    assert {name for name in names - hidden if not name.startswith("llmlab.training")} == set()


def test_the_code_of_every_architecture_is_in_the_bundle(hidden: set[str]) -> None:
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    files = list(Path(spec.origin).parent.glob("models/*/modeling_*.py"))
    assert len(files) > 300
    assert {f"transformers.models.{path.parent.name}.{path.stem}" for path in files} <= hidden


def test_resources_lie_where_an_installed_package_looks(contents) -> None:
    (source, place), *_ = contents.data()
    assert (Path(source), place) == (ROOT / "resources", "llmlab/resources")
    assert paths.resources() == ROOT / "resources"


def test_the_program_imports_nothing_that_is_excluded(contents) -> None:
    names = "|".join(map(re.escape, contents.EXCLUDED_MODULES))
    imports = re.compile(rf"^\s*(?:import|from) +(?:{names})\b", re.MULTILINE)
    assert imports.search("    from pandas import DataFrame")
    found = [path for path in (ROOT / "llmlab").rglob("*.py") if imports.search(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("torch/lib/libtorch_cpu.so", True),
        ("torch/bin/torch_shm_manager", True),
        ("torch/bin/protoc", False),
        ("torch/include/ATen/core.h", False),
        ("torch/nn/functional.py", True),
        ("bitsandbytes/libbitsandbytes_cpu.so", True),
        ("bitsandbytes/libbitsandbytes_cuda130.so", False),
        ("libcudart.so.13", False),
        ("libstdc++.so.6", False),
        ("PySide6/Qt/plugins/platforms/libqxcb.so", True),
        ("PySide6/Qt/plugins/platforms/libqwayland.so", True),
        ("PySide6/Qt/plugins/platforms/libqeglfs.so", False),
        ("PySide6/Qt/plugins/platformthemes/libqgtk3.so", False),
        ("PySide6/Qt/lib/libQt6Quick.so.6", False),
        ("libQt6Widgets.so.6", True),
        ("pytest_xdist-3.8.0.dist-info/METADATA", False),
        ("torch-2.13.0.dist-info/METADATA", True),
        ("llmlab/resources/models/decoder/model.safetensors", True),
    ],
)
def test_which_files_belong_into_it(place: str, kept: bool, contents) -> None:
    assert contents.is_used(place) is kept


def test_libraries_that_nothing_needs_any_more_stay_out(contents) -> None:
    needs = {"/plugin": ["liba.so.1"], "/a": ["libb.so.1"], "/gtk": ["libgdk.so"], "/b": ["liba.so.1"]}
    entries = [
        ("PySide6/plugin.so", "/plugin", "BINARY"),
        ("liba.so.1", "/a", "BINARY"),
        ("libb.so.1", "/b", "BINARY"),
        ("libgtk.so", "/gtk", "BINARY"),
        ("libgdk.so", "/gdk", "BINARY"),
        ("libpython3.11.so.1.0", "/python", "BINARY"),
        ("md.cpython-311.so", "/md", "EXTENSION"),
        ("libplugin.so", "PySide6/plugin.so", "SYMLINK"),
        ("libgone.so", "PySide6/gone.so", "SYMLINK"),
    ]
    found = {entry[0] for entry in contents.reachable(entries, lambda file: needs.get(file, []))}
    assert found == {entry[0] for entry in entries} - {"libgtk.so", "libgdk.so", "libgone.so"}


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_what_a_library_is_linked_with_is_read_from_it(contents, tmp_path: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("binutils are not installed")
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    assert "libtorch_cpu.so" in contents.linked_with(str(Path(spec.origin).parent / "lib" / "libtorch.so"))
    (tmp_path / "text").write_text("NEEDED libnothing.so")
    assert contents.linked_with(str(tmp_path / "text")) == []


def test_the_spec_is_python_that_asks_contents() -> None:
    tree = ast.parse((ROOT / "packaging" / "bundle" / "llmlab.spec").read_text("utf-8"))
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "contents"
    }
    assert asked >= {"hidden_imports", "data", "distributions", "EXCLUDED_MODULES", "used", "reachable"}


def test_a_cuda_build_of_torch_is_refused(make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    version = tmp_path / "torch" / "version.py"
    monkeypatch.setattr(make_bundle, "find_spec", lambda name: Spec(str(tmp_path / name / "__init__.py")))
    version.write_text("cuda: Optional[str] = None\n")
    assert make_bundle.torch_cuda() is None
    version.write_text("debug = False\ncuda: Optional[str] = '13.0'\n")
    with pytest.raises(make_bundle.CannotBuildError, match=r"CUDA 13\.0"):
        make_bundle.check()


class Spec:
    def __init__(self, origin: str) -> None:
        self.origin = origin


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_link_to_a_file_that_was_left_out_is_named(make_bundle, bundle: Path) -> None:
    make_bundle.check_links(bundle)
    (bundle / "_internal" / "libgone.so").symlink_to("libgone.so.1")
    with pytest.raises(make_bundle.CannotBuildError, match=r"libgone\.so"):
        make_bundle.check_links(bundle)


def test_folders_of_the_building_machine_are_taken_out(make_bundle, tmp_path: Path) -> None:
    place = f"{Path(sys.base_prefix) / 'lib'}".encode()
    library = tmp_path / "some.so"
    library.write_bytes(b"\x7fELF\0" + place + b"\0rest")
    make_bundle.forget_build_paths(tmp_path)
    assert library.read_bytes() == b"\x7fELF\0" + bytes(len(place)) + b"\0rest"


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_permissions_and_dates_are_the_same_whoever_builds(bundle: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in bundle.rglob("*")}
    assert (modes["llmlab"], modes["LICENSE"], modes["_internal"]) == (0o755, 0o644, 0o755)
    assert {path.lstat().st_mtime for path in bundle.rglob("*")} == {1700000000}


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "MIT", "License": "long"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"License": "Apache 2.0"}, "Apache 2.0"),
        ({"License": "Copyright\nmany lines"}, "see its text"),
        ({}, "see its text"),
    ],
)
def test_a_licence_is_named_as_the_package_names_it(fields: dict[str, str], licence: str, script) -> None:
    class Package:
        metadata = Message()

    Package.metadata = Message()
    for name, value in fields.items():
        Package.metadata[name] = value
    assert script("bundle/third_party.py").licence_of(Package()) == licence


def test_nothing_large_lies_among_the_recipes() -> None:
    for path in (ROOT / "packaging").rglob("*"):
        assert path.is_dir() or "__pycache__" in path.parts or path.stat().st_size < 50_000, path
        assert path.name != "__init__.py", "it would hide PyPI's package of that name"
