"""Settings survive a round trip, and a damaged file survives nothing but itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab import settings
from llmlab.engine.types import ModelRequest
from llmlab.settings import Settings

requests = st.builds(
    ModelRequest,
    spec=st.text(min_size=1, max_size=20),
    device=st.sampled_from(("auto", "cpu", "cuda:1")),
    quantization=st.sampled_from((None, "nf4")),
    double_quantization=st.booleans(),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.builds(
        Settings,
        geometry=st.text(max_size=20),
        layout=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        model=st.none() | requests,
        recent=st.lists(requests, max_size=3).map(tuple),
        prompt=st.none() | st.text(max_size=50),
        panels=st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), json_values, max_size=2)),
    )
)
def test_what_is_saved_comes_back(tmp_path_factory: pytest.TempPathFactory, known: Settings) -> None:
    path = tmp_path_factory.mktemp("settings") / "deep" / "settings.json"
    settings.save(path, known)
    assert settings.load(path) == known
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


@given(
    st.dictionaries(
        st.sampled_from(("geometry", "layout", "model", "recent", "prompt", "panels", "panel")), json_values
    )
)
def test_values_of_the_wrong_kind_are_defaults_never_errors(data: dict[str, object]) -> None:
    known = settings.from_dict({"version": settings.VERSION, **data})
    assert isinstance(known.geometry, str)
    assert isinstance(known.panels, dict)
    assert known.model is None or isinstance(known.model.spec, str)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b'{"version": 99}', b"[" * 100_000, b'{"version": 1e999}'],
    ids=["empty", "cut off", "binary", "a list", "another version", "nested deep", "infinity"],
)
def test_a_damaged_file_is_set_aside_and_defaults_are_used(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    assert settings.load(path) == Settings()
    assert not path.exists()
    assert (tmp_path / "settings.broken.json").read_bytes() == content


def test_a_missing_file_means_defaults(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "none.json") == Settings()


def test_a_full_disk_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.json"
    settings.save(path, Settings(panel="decoding"))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        settings.save(path, Settings(panel="other"))
    assert settings.load(path).panel == "decoding"
    assert list(tmp_path.iterdir()) == [path]


def test_the_recent_models_keep_each_once_and_the_latest_first() -> None:
    known = Settings()
    for spec in ("a", "b", "a", *map(str, range(20))):
        known = known.with_recent(ModelRequest(spec))
    specs = [request.spec for request in known.recent]
    assert specs[0] == "19"
    assert len(specs) == len(set(specs)) == settings.MAX_RECENT
    assert known.model == ModelRequest("19")


def test_lone_surrogates_in_a_prompt_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings.save(path, Settings(prompt="a\ud800b"))
    assert settings.load(path).prompt == "a\ud800b"
    json.loads(path.read_text("ascii"))
