"""Replacing the open model: nothing that is open is lost, and never more memory taken than there is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from llmlab.engine import loading, placement
from llmlab.engine.errors import Cancelled, ModelFileError, ModelLostError, ModelNotFoundError, OutOfMemoryError
from llmlab.engine.session import Session
from llmlab.engine.types import ModelRequest
from tests.engine.checkpoints import Recorder, save

FREEING = "Freeing the model that is open first, because memory is short"
REOPENING = "Opening the former model again"


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    return {kind: str(save(kind, tmp_path / kind)) for kind in ("llama", "bert", "t5")}


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


def request(folder: str) -> ModelRequest:
    return ModelRequest(folder, device="cpu")


class Machine:
    """Stands for a CPU whose memory holds little more than one of the tiny models."""

    def __init__(self, patch: pytest.MonkeyPatch, session: Session, size: int) -> None:
        self.size = size
        self.models: list[weakref.ref[torch.nn.Module]] = []
        patch.setattr(placement, "free_memory", self.free)
        read = loading.read_model

        def counted(*arguments: object) -> object:
            result = read(*arguments)  # type: ignore[arg-type]
            self.models.append(weakref.ref(result.model))
            assert self.in_use() <= self.size
            return result

        patch.setattr(loading, "read_model", counted)
        if session.is_open:
            self.models.append(weakref.ref(session.engine.loaded.model))

    def in_use(self) -> int:
        models = [model for reference in self.models if (model := reference())]
        return sum(t.numel() * t.element_size() for model in models for t in [*model.parameters(), *model.buffers()])

    def free(self, _: torch.device) -> int:
        return self.size - self.in_use()


def test_nothing_is_open_at_first(session: Session) -> None:
    assert not session.is_open
    with pytest.raises(ModelNotFoundError, match="No model is open"):
        _ = session.engine


def test_open_replace_close(session: Session, folders: dict[str, str]) -> None:
    info = session.open(request(folders["llama"]), Recorder())
    assert session.engine.info == info
    first = weakref.ref(session.engine.loaded.model)
    control = Recorder()
    assert session.open(request(folders["bert"]), control).model_type == "bert"
    assert FREEING not in control.texts
    gc.collect()
    assert first() is None
    second = weakref.ref(session.engine.loaded.model)
    session.close()
    assert second() is None
    assert not session.is_open


def test_the_former_model_stays_until_the_new_one_is_there(session: Session, folders: dict[str, str]) -> None:
    session.open(request(folders["llama"]), Recorder())
    seen: list[str] = []
    control = Recorder(lambda text: bool(seen.append(session.engine.info.model_type)))
    session.open(request(folders["bert"]), control)
    assert set(seen) == {"llama"}


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_failure_leaves_the_former_model_open(damage: str, session: Session, folders: dict[str, str]) -> None:
    session.open(request(folders["llama"]), Recorder())
    former = session.engine
    (Path(folders["bert"]) / damage).write_bytes(b"broken")
    control = Recorder()
    with pytest.raises(ModelFileError):
        session.open(request(folders["bert"]), control)
    assert session.engine is former
    assert session.engine.tokenize("still here").tokens
    assert REOPENING not in control.texts


def test_cancelling_leaves_the_former_model_open(session: Session, folders: dict[str, str]) -> None:
    session.open(request(folders["llama"]), Recorder())
    former = session.engine
    with pytest.raises(Cancelled):
        session.open(request(folders["bert"]), Recorder(lambda text: "tensors" in text))
    assert session.engine is former


def test_a_failure_without_a_former_model(session: Session) -> None:
    with pytest.raises(ModelNotFoundError):
        session.open(request("/nowhere/at all"), Recorder())
    assert not session.is_open


@pytest.fixture
def short(session: Session, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with room for one of the models at a time; a llama is open."""
    session.open(request(folders["llama"]), Recorder())
    size = session.engine.memory_use().weights
    return Machine(monkeypatch, session, int(1.6 * size))


@pytest.mark.usefixtures("short")
def test_the_former_model_is_freed_first_where_memory_is_short(session: Session, folders: dict[str, str]) -> None:
    control = Recorder()
    session.open(request(folders["t5"]), control)
    assert session.engine.info.model_type == "t5"
    assert FREEING in control.texts
    assert control.texts.index(FREEING) < next(i for i, text in enumerate(control.texts) if "tensors" in text)


@pytest.mark.usefixtures("short")
def test_what_was_freed_for_a_failure_is_opened_again(
    session: Session, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    former = session.engine.info
    read = loading.read_model

    def fail_once(*arguments: object) -> object:
        monkeypatch.setattr(loading, "read_model", read)
        raise ModelFileError("The disk is on fire.", "Put it out.")

    monkeypatch.setattr(loading, "read_model", fail_once)
    control = Recorder()
    with pytest.raises(ModelFileError, match="on fire"):
        session.open(request(folders["t5"]), control)
    assert session.engine.info == former
    assert control.texts.index(FREEING) < control.texts.index(REOPENING)


@pytest.mark.usefixtures("short")
def test_what_was_freed_is_opened_again_after_a_cancel(session: Session, folders: dict[str, str]) -> None:
    former = session.engine.info
    control = Recorder(lambda text: "tensors" in text)
    with pytest.raises(Cancelled):
        session.open(request(folders["t5"]), control)
    assert FREEING in control.texts
    assert session.engine.info == former


@pytest.mark.usefixtures("short")
def test_a_former_model_that_is_gone_as_well_is_said(
    session: Session, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        (Path(folders["llama"]) / "config.json").unlink(missing_ok=True)
        raise ModelFileError("The disk is on fire.", "Put it out.")

    monkeypatch.setattr(loading, "read_model", fail)
    with pytest.raises(ModelLostError, match="on fire") as caught:
        session.open(request(folders["t5"]), Recorder())
    assert "The former model is lost as well" in caught.value.hint
    assert not session.is_open


def test_a_model_that_can_never_fit_frees_nothing(session: Session, folders: dict[str, str], short: Machine) -> None:
    former = session.engine
    short.size = session.engine.memory_use().weights + 1000
    with pytest.raises(OutOfMemoryError, match=r"needs .* free"):
        session.open(ModelRequest(folders["llama"], device="cpu", dtype="float32"), Recorder())
    assert session.engine is former


def test_memory_that_runs_out_unforeseen_frees_the_former_model_and_goes_on(
    session: Session, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.open(request(folders["llama"]), Recorder())
    read = loading.read_model

    def exhausted_once(*arguments: object) -> object:
        monkeypatch.setattr(loading, "read_model", read)
        raise OutOfMemoryError("It does not fit.", "Buy more.")

    monkeypatch.setattr(loading, "read_model", exhausted_once)
    control = Recorder()
    assert session.open(request(folders["bert"]), control).model_type == "bert"
    assert FREEING in control.texts


@pytest.mark.usefixtures("short")
def test_a_bug_leaves_the_former_model_open(
    session: Session, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    former = session.engine.info
    describe = loading.describe

    def broken(*_: object, **__: object) -> object:
        monkeypatch.setattr(loading, "describe", describe)
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(loading, "describe", broken)
    with pytest.raises(ZeroDivisionError):
        session.open(request(folders["t5"]), Recorder())
    assert session.engine.info == former
