"""What goes into the bundle and what stays out: the decisions behind `llmlab.spec`, without PyInstaller."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = "llmlab/resources"  # where `llmlab.paths.resources` looks in an installed package

Entry: TypeAlias = tuple[str, str, str]  # PyInstaller's: place in the bundle, file on this machine, kind

# Packages that import their own modules by names made at run time, so that no analysis of the code finds them all.
WHOLE_PACKAGES = (
    "llmlab",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "huggingface_hub",
    "tokenizers",
    "safetensors",
)

# Modules of those that the lab never asks for: command lines, tests, converters, and transformers' `modular_…` files,
# which are the sources that its `modeling_…` files were generated from.
_LEFT_OUT = re.compile(
    r"llmlab\.training(\..*)?"
    r"|transformers\.(cli|testing_utils|exporters)(\..*)?"
    r"|transformers\.models\..*\.(modular|convert|image_processing|video_processing)_\w+"
    r"|accelerate\.(commands|test_utils)(\..*)?"
    r"|bitsandbytes\.(__main__|diagnostics)(\..*)?"
    r"|huggingface_hub\.(cli|_tensorboard_logger)(\..*)?"
)

# Found by the analysis in some corner of a library; none is used by the lab. setuptools stays: torch.compile needs it.
EXCLUDED_MODULES = (
    "IPython", "PIL", "_pytest", "gguf", "hatchling", "hypothesis", "jax", "kernels", "matplotlib", "mypy", "pandas",
    "pip", "py", "pygments", "pyqtgraph", "pytest", "pytestqt", "ruff", "scipy", "sklearn", "tensorboard", "tkinter",
    "torch.test", "torch.utils.tensorboard", "torchaudio", "torchvision", "triton", "trove_classifiers",
    "xdist",
)  # fmt: skip

# Files of libraries that only other programs need: headers, build tools, Qt's modules and plugins the lab has no use
# for, GPU builds of bitsandbytes (this is the CPU flavour). GTK's platform theme would bring GTK along. The C++ library
# is the system's: its graphics drivers need it at least as new as they are, and it serves older programs too.
_UNUSED_FILES = (
    "torch/test/**",
    "torch/include/**",
    "torch/share/**",
    "torch/bin/**",
    "torch/lib/libtorch_python.so.*",
    "**/libbitsandbytes_cuda*",
    "**/libbitsandbytes_rocm*",
    "**/libbitsandbytes_xpu*",
    "hypothesis-*.dist-info/**",
    "pytest*.dist-info/**",
    "typer-*.dist-info/**",
    "PySide6/Qt/translations/**",
    "PySide6/Qt/qml/**",
    "PySide6/Qt/plugins/egldeviceintegrations/**",
    "PySide6/Qt/plugins/generic/**",
    "PySide6/Qt/plugins/networkinformation/**",
    "PySide6/Qt/plugins/qmltooling/**",
    "PySide6/Qt/plugins/sqldrivers/**",
    "PySide6/Qt/plugins/tls/**",
    "PySide6/Qt/plugins/platformthemes/libqgtk3*",
    "PySide6/Qt/plugins/platforminputcontexts/*virtualkeyboard*",
    "PySide6/Qt/plugins/platforms/libqeglfs*",
    "PySide6/Qt/plugins/platforms/libqlinuxfb*",
    "PySide6/Qt/plugins/platforms/libqminimal*",
    "PySide6/Qt/plugins/platforms/libqvkkhrdisplay*",
    "PySide6/Qt/plugins/platforms/libqvnc*",
    "PySide6/Qt/plugins/wayland-graphics-integration-server/**",
    "**/libQt6Pdf*",
    "**/libQt6Qml*",
    "**/libQt6Quick*",
    "**/libQt6Sql*",
    "**/libQt6VirtualKeyboard*",
    "**/libQt6WaylandCompositor*",
    "**/libQt6EglF[sS]*",
    "libcudart.so*",
    "libstdc++.so.*",
    "libgcc_s.so.*",
)
_KEPT_FILES = ("torch/bin/torch_shm_manager",)  # started by torch where processes share tensors


def modules_of(package: str) -> Iterator[str]:
    """The dotted names of all modules of an installed package that the lab may ask for."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    top = Path(found.origin).parent
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not _LEFT_OUT.fullmatch(name):
            yield name


def hidden_imports() -> list[str]:
    """Modules that PyInstaller would not find by itself."""
    return [name for package in WHOLE_PACKAGES for name in modules_of(package)]


def data() -> list[tuple[str, str]]:
    """Folders and files of the checkout with their place in the bundle."""
    return [(str(ROOT / "resources"), RESOURCES), (str(ROOT / "llmlab" / "py.typed"), "llmlab")]


def distributions() -> tuple[str, ...]:
    """Packages whose metadata is asked for at run time (`importlib.metadata`), by transformers above all."""
    return (
        "accelerate", "bitsandbytes", "filelock", "huggingface_hub", "jinja2", "numpy", "packaging", "psutil", "pyyaml",
        "regex", "safetensors", "tokenizers", "torch", "tqdm", "transformers",
    )  # fmt: skip


def is_used(place: str) -> bool:
    """Whether a file belongs into the bundle, by its place in it."""
    path = PurePosixPath(place.replace("\\", "/"))
    if any(_matches(path, pattern) for pattern in _KEPT_FILES):
        return True
    return not any(_matches(path, pattern) for pattern in _UNUSED_FILES) and path.suffix not in {".pyi", ".h", ".a"}


def used(entries: Iterable[Entry]) -> list[Entry]:
    """The entries of one of PyInstaller's tables that belong into the bundle."""
    return [entry for entry in entries if is_used(entry[0])]


def reachable(entries: Iterable[Entry], needs: Callable[[str], Iterable[str]]) -> list[Entry]:
    """`entries` without libraries at the top of the bundle that no other file of it needs any more.

    `needs` names the libraries that a file on this machine is linked with. PyInstaller has found them for every file
    that there was, those included that are left out.
    """
    entries = list(entries)
    at_top = {each[0]: each for each in entries if "/" not in each[0] and each[2] in ("BINARY", "SYMLINK")}
    libraries = {name: each for name, each in at_top.items() if not name.startswith("libpython")}  # the loader's own
    found = [each for each in entries if each[0] not in libraries]
    for _, file, _ in found:  # grows meanwhile
        found.extend(libraries.pop(name) for name in needs(file) if name in libraries)
    places = {each[0] for each in found}
    return found + [each for each in libraries.values() if each[2] == "SYMLINK" and each[1] in places]


def linked_with(file: str) -> list[str]:
    """The libraries that an ELF file names as needed; none for anything else."""
    found = subprocess.run(["objdump", "-p", file], capture_output=True, text=True, check=False).stdout
    return re.findall(r"^ *NEEDED +(\S+)$", found, re.MULTILINE)


def _matches(path: PurePosixPath, pattern: str) -> bool:
    if pattern.endswith("/**"):
        return any(fnmatchcase(str(parent), pattern[:-3]) for parent in path.parents)
    return path.match(pattern.removeprefix("**/"))
