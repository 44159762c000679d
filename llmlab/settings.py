"""What the program remembers between two runs: frozen dataclasses in one versioned JSON file. No Qt."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from llmlab.engine.types import ModelRequest

VERSION = 1
MAX_BYTES = 5_000_000
MAX_RECENT = 12
MAX_PROMPT = 200_000  # characters: a longer prompt is not worth carrying over

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that comes back at the next start."""

    geometry: str = ""  # base64 of QMainWindow.saveGeometry()
    layout: Mapping[str, str] = field(default_factory=dict)  # splitter name -> base64 of its state
    scheme: str = "system"  # system, light or dark
    panel: str = ""
    model: ModelRequest | None = None
    recent: tuple[ModelRequest, ...] = ()
    prompt: str | None = None  # None: never typed anything, show the example
    panels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # panel name -> what it saved

    def with_recent(self, request: ModelRequest) -> Settings:
        """`request` as the last model and at the top of the recent ones, each spec once."""
        others = tuple(known for known in self.recent if known.spec != request.spec)
        return replace(self, model=request, recent=(request, *others)[:MAX_RECENT])


def default_path() -> Path:
    """Where the settings live on this system; LLMLAB_SETTINGS overrides it."""
    override = os.environ.get("LLMLAB_SETTINGS")
    if override:
        return Path(override)
    return Path(platformdirs.user_config_dir("llmlab", appauthor=False)) / "settings.json"


def load(path: Path) -> Settings:
    """The settings in `path`. What cannot be read is set aside as `settings.broken.json`, and defaults are used."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return from_dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as error:
        log.warning("settings in %s cannot be read (%s); starting with defaults", path, error)
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".broken.json"))
        return Settings()


def save(path: Path, settings: Settings) -> None:
    """Write atomically: a full disk or a killed process leaves the former file whole. Raises OSError."""
    content = json.dumps({"version": VERSION, **asdict(settings)}, ensure_ascii=True, indent=1).encode("ascii")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def from_dict(data: Any) -> Settings:
    """Settings from JSON values; anything of the wrong kind is left at its default. Raises ValueError."""
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError("not a settings file of this version")
    settings = Settings()
    for name in ("geometry", "scheme", "panel"):
        if isinstance(data.get(name), str):
            settings = replace(settings, **{name: data[name]})
    if isinstance(data.get("prompt"), str):
        settings = replace(settings, prompt=data["prompt"][:MAX_PROMPT])
    recent = data.get("recent")
    return replace(
        settings,
        layout={key: value for key, value in _mapping(data, "layout") if isinstance(value, str)},
        panels={key: value for key, value in _mapping(data, "panels") if isinstance(value, dict)},
        model=_request(data.get("model")),
        recent=tuple(filter(None, map(_request, recent)))[:MAX_RECENT] if isinstance(recent, list) else (),
    )


def _mapping(data: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    value = data.get(name)
    return list(value.items()) if isinstance(value, dict) else []


def _request(data: Any) -> ModelRequest | None:
    if not isinstance(data, dict) or not isinstance(data.get("spec"), str):
        return None
    default = ModelRequest("")
    known = {
        item.name: data[item.name]
        for item in fields(ModelRequest)
        if item.name in data
        and (isinstance(data[item.name], type(getattr(default, item.name))) or item.name == "quantization")
    }
    if not isinstance(known.get("quantization"), str | None):
        known["quantization"] = None
    return ModelRequest(**known)
