"""Opening folders: what is opened computes exactly what transformers computes, and says what it is."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertForSequenceClassification,
    BertModel,
    GPT2Model,
    LlamaModel,
    T5ForConditionalGeneration,
)

from llmlab.engine import loading
from llmlab.engine.devices import memory_use
from llmlab.engine.errors import Cancelled, DeviceError, ModelFileError
from llmlab.engine.loading import load
from llmlab.engine.memory import parameter_count
from llmlab.engine.types import Architecture, Feature, ModelRequest
from tests.engine import checkpoints
from tests.engine.checkpoints import Recorder, save

FAMILIES = {
    "gpt2": Architecture.DECODER,
    "llama": Architecture.DECODER,
    "bert": Architecture.ENCODER,
    "roberta": Architecture.ENCODER,
    "t5": Architecture.ENCODER_DECODER,
    "bart": Architecture.ENCODER_DECODER,
}
GENERATIVE = {Feature.TOKENIZE, Feature.NEXT_TOKEN, Feature.GENERATE, Feature.ATTENTION, Feature.SCORE}
FEATURES = {
    Architecture.DECODER: GENERATIVE,
    Architecture.ENCODER: {Feature.TOKENIZE, Feature.FILL_MASK, Feature.ATTENTION},
    Architecture.ENCODER_DECODER: GENERATIVE,
}


def logits(model: torch.nn.Module, *, seq2seq: bool) -> torch.Tensor:
    ids = torch.arange(5, 20)[None]
    more = {"decoder_input_ids": ids[:, :6]} if seq2seq else {}
    with torch.inference_mode():
        return model(input_ids=ids, **more).logits.float().cpu()


@pytest.mark.parametrize(("kind", "family"), FAMILIES.items())
def test_what_is_opened_computes_what_was_saved(kind: str, family: Architecture, tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save(kind, tmp_path / kind)), device="cpu"))
    seq2seq = family is Architecture.ENCODER_DECODER
    assert torch.equal(logits(loaded.model, seq2seq=seq2seq), logits(checkpoints.make(kind), seq2seq=seq2seq))
    assert loaded.info.architecture is family
    assert loaded.info.features == FEATURES[family]
    assert loaded.info.mask_token == ("<mask>" if family is Architecture.ENCODER else None)
    assert not loaded.model.training
    assert loaded.device == torch.device("cpu")
    assert loaded.tokenizer.is_fast
    assert loaded.tokenizer.decode(loaded.tokenizer(checkpoints.TEXT).input_ids) == checkpoints.TEXT


def test_the_facts_about_a_model(tmp_path: Path) -> None:
    info = load(ModelRequest(str(save("llama", tmp_path / "Small Llama")), device="cpu")).info
    assert (info.name, info.model_type) == ("Small Llama", "llama")
    assert (info.layers, info.heads, info.key_value_heads, info.hidden_size) == (2, 4, 2, 64)
    assert (info.vocabulary, info.context) == (checkpoints.VOCABULARY, 128)
    assert (info.device, info.dtype, info.quantization) == ("cpu", "float32", None)
    assert info.parameters == parameter_count(tmp_path / "Small Llama")
    assert info.parameters == sum(p.numel() for p in checkpoints.make("llama").parameters())
    assert info.notes == ()


@pytest.mark.parametrize(
    ("kind", "context", "layers"),
    [("gpt2", 64, 2), ("bert", 48, 2), ("roberta", 48, 1), ("t5", None, 3), ("bart", 64, 2)],
)
def test_context_and_layers_as_the_architecture_has_them(
    kind: str, context: int | None, layers: int, tmp_path: Path
) -> None:
    info = load(ModelRequest(str(save(kind, tmp_path)), device="cpu")).info
    assert (info.context, info.layers) == (context, layers)


def test_the_context_can_be_used_to_its_last_token(tmp_path: Path) -> None:
    # RoBERTa has 50 position embeddings, but they are counted from behind the padding index.
    loaded = load(ModelRequest(str(save("roberta", tmp_path)), device="cpu"))
    assert loaded.info.context is not None
    ids = torch.full((1, loaded.info.context), 7)
    with torch.inference_mode():
        assert loaded.model(input_ids=ids).logits.shape[1] == loaded.info.context
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            loaded.model(input_ids=torch.full((1, loaded.info.context + 1), 7))


def test_different_depths_of_encoder_and_decoder_are_told(tmp_path: Path) -> None:
    info = load(ModelRequest(str(save("t5", tmp_path)), device="cpu")).info
    assert "2 encoder layers and 3 decoder layers." in info.notes


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_auto_is_float32_on_the_cpu_and_says_so(stored: torch.dtype, tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save("gpt2", tmp_path, dtype=stored)), device="cpu"))
    assert loaded.model.dtype == torch.float32
    assert bool(loaded.info.notes) == (stored != torch.float32)
    assert all(str(stored).removeprefix("torch.") in note for note in loaded.info.notes)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_format_asked_for_is_used(dtype: str, tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save("llama", tmp_path)), device="cpu", dtype=dtype))
    assert {str(p.dtype) for p in loaded.model.parameters()} == {f"torch.{dtype}"}
    assert loaded.info.dtype == dtype
    assert loaded.info.notes == ()


def test_shards_are_put_together(tmp_path: Path) -> None:
    folder = save("llama", tmp_path, shards="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    loaded = load(ModelRequest(str(folder), device="cpu"))
    assert torch.equal(logits(loaded.model, seq2seq=False), logits(checkpoints.make("llama"), seq2seq=False))


def test_a_file_of_the_folder_opens_the_folder(tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path / "tiny")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert load(ModelRequest(str(folder / name), device="cpu")).info.name == "tiny"


def test_weights_in_memory_are_exactly_the_parameters(tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save("gpt2", tmp_path)), device="cpu"))
    use = memory_use(loaded)
    buffers = sum(b.numel() * b.element_size() for b in loaded.model.buffers())
    assert use.weights == 4 * loaded.info.parameters + buffers  # the tied output layer counts once
    assert use.process_rss > use.weights
    assert (use.cuda_allocated, use.cuda_reserved, use.cuda_total) == (None, None, None)


def test_an_untied_t5_keeps_its_own_output_layer(tmp_path: Path) -> None:
    # T5Config of transformers 5 says tied, whatever the file says; Flan-T5 comes with an output layer of its own.
    model = checkpoints.MAKERS["t5"]()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    model.config.tie_word_embeddings = False
    model.save_pretrained(tmp_path)
    checkpoints.tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    loaded = load(ModelRequest(str(tmp_path), device="cpu"))
    assert isinstance(loaded.model, T5ForConditionalGeneration)
    assert torch.equal(loaded.model.lm_head.weight, model.lm_head.weight)
    assert loaded.info.parameters == parameter_count(tmp_path)
    assert torch.equal(logits(loaded.model, seq2seq=True), logits(model.eval(), seq2seq=True))


@pytest.mark.parametrize("body", [BertModel, LlamaModel])
def test_a_checkpoint_without_its_head_offers_less_and_says_so(body: type, tmp_path: Path) -> None:
    kind = "bert" if body is BertModel else "llama"
    folder = save(kind, tmp_path)
    original = checkpoints.make(kind).base_model
    original.save_pretrained(folder)
    loaded = load(ModelRequest(str(folder), device="cpu"))
    assert loaded.info.features == {Feature.TOKENIZE, Feature.ATTENTION}
    assert any("without its output layer" in note for note in loaded.info.notes)
    assert type(loaded.model) is body
    with torch.inference_mode():
        ids = torch.arange(5, 12)[None]
        assert torch.equal(loaded.model(ids).last_hidden_state, original(ids).last_hidden_state)


def test_a_body_whose_head_is_tied_to_the_embeddings_is_whole(tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path)
    model = GPT2Model(checkpoints.make("gpt2").config)
    model.load_state_dict(checkpoints.make("gpt2").transformer.state_dict())
    model.save_pretrained(folder)
    loaded = load(ModelRequest(str(folder), device="cpu"))
    assert loaded.info.features == GENERATIVE
    assert torch.equal(logits(loaded.model, seq2seq=False), logits(checkpoints.make("gpt2"), seq2seq=False))


def test_a_classifier_opens_as_its_body(tmp_path: Path) -> None:
    folder = save("bert", tmp_path)
    BertForSequenceClassification(checkpoints.make("bert").config).save_pretrained(folder)
    info = load(ModelRequest(str(folder), device="cpu")).info
    assert info.architecture is Architecture.ENCODER
    assert Feature.FILL_MASK not in info.features


def test_an_encoder_without_a_mask_token_cannot_fill_masks(tmp_path: Path) -> None:
    folder = save("bert", tmp_path)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings.pop("mask_token")
    path.write_text(json.dumps(settings))
    info = load(ModelRequest(str(folder), device="cpu")).info
    assert info.features == {Feature.TOKENIZE, Feature.ATTENTION}
    assert any("no mask token" in note for note in info.notes)


def test_progress_is_told_and_grows(tmp_path: Path) -> None:
    control = Recorder()
    load(ModelRequest(str(save("llama", tmp_path)), device="cpu"), control)
    assert any("tensors" in text for text in control.texts)
    assert control.fractions == sorted(control.fractions)
    assert 0 <= control.fractions[0] < control.fractions[-1] <= 1


def test_progress_bars_stay_out_of_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save("gpt2", tmp_path)
    capfd.readouterr()
    load(ModelRequest(str(folder), device="cpu"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at", ["Looking", "tokenizer", "of 21 tensors"])
def test_loading_can_be_cancelled_at_every_phase(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[torch.nn.Module]] = []
    describe = loading.describe

    def described(*arguments: object, **more: bool) -> object:
        made.append(weakref.ref(arguments[4]))
        return describe(*arguments, **more)

    monkeypatch.setattr(loading, "describe", described)
    folder = save("llama", tmp_path)
    with pytest.raises(Cancelled):
        load(ModelRequest(str(folder), device="cpu"), Recorder(lambda text: at in text))
    assert not made
    # Afterwards everything is as before: transformers' own progress hook, and a second attempt.
    assert load(ModelRequest(str(folder), device="cpu")).info.layers == 2
    AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)


def test_a_model_that_is_dropped_leaves_memory(tmp_path: Path) -> None:
    loaded = load(ModelRequest(str(save("gpt2", tmp_path)), device="cpu"))
    weights = weakref.ref(loaded.model.get_input_embeddings().weight)
    del loaded
    gc.collect()
    assert weights() is None


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("tpu9", "There is no device"),
        ("cuda:99", "There is no"),
        ("meta", "cannot be opened on"),
        pytest.param("mps", "no MPS device", marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="MPS")),
    ],
)
def test_devices_that_are_not_there(device: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=words) as caught:
        load(ModelRequest(str(save("gpt2", tmp_path)), device=device))
    assert caught.value.hint.endswith(".")


def test_no_cuda_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device") as caught:
        load(ModelRequest(str(save("gpt2", tmp_path)), device="cuda"))
    assert "choose cpu" in caught.value.hint


def test_formats_that_do_not_exist_or_that_the_device_cannot_compute_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(save("gpt2", tmp_path))
    with pytest.raises(DeviceError, match="no number format “float7”"):
        load(ModelRequest(folder, device="cpu", dtype="float7"))

    def ones(*_: object, **__: object) -> torch.Tensor:
        raise TypeError("BFloat16 is not supported on this device")

    monkeypatch.setattr("llmlab.engine.devices.torch.ones", ones)
    with pytest.raises(DeviceError, match="cpu cannot compute in bfloat16"):
        load(ModelRequest(folder, device="cpu", dtype="bfloat16"))


def test_an_error_keeps_no_tensor_alive(tmp_path: Path) -> None:
    def embeddings() -> int:
        gc.collect()
        return sum(type(o) is torch.nn.Parameter and o.shape == (320, 64) for o in gc.get_objects())

    folder = save("llama", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    before = embeddings()
    with pytest.raises(ModelFileError, match="missing from the weight files") as caught:
        load(ModelRequest(str(folder), device="cpu"))
    assert embeddings() == before
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("spec", "name", "family"),
    [
        ("bundled:decoder", "Llama Lab Storyteller", Architecture.DECODER),
        ("bundled:encoder", "Lab Cloze", Architecture.ENCODER),
        ("bundled:seq2seq", "Lab Restorer", Architecture.ENCODER_DECODER),
        ("bundled:draft", "Llama Lab Draft", Architecture.DECODER),
    ],
)
def test_the_bundled_models(spec: str, name: str, family: Architecture) -> None:
    loaded = load(ModelRequest(spec, device="cpu"))
    assert (loaded.info.name, loaded.info.architecture) == (name, family)
    assert loaded.info.features == FEATURES[family]
    assert len(loaded.tokenizer) <= loaded.info.vocabulary
    assert loaded.info.notes == () or "float32" in loaded.info.notes[0]
