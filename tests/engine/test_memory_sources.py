"""Where architectures come from, what is wrong with them in words, the edited table, this machine, grids."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmlab.engine import hub
from llmlab.engine.engine import Engine
from llmlab.engine.errors import (
    AccessError,
    EngineError,
    InputError,
    ModelFileError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from llmlab.engine.memory import machine
from llmlab.engine.memory.activations import Checkpointing
from llmlab.engine.memory.architectures import architecture
from llmlab.engine.memory.edited import GpuTable, checked_row, from_values, to_values
from llmlab.engine.memory.fit import best_precision, largest_batch, largest_training_batch, longest_context
from llmlab.engine.memory.grid import (
    contours,
    inference_grid,
    largest_batches,
    largest_training_batches,
    longest_contexts,
    training_grid,
)
from llmlab.engine.memory.hardware import Gpu, gpu, gpus
from llmlab.engine.memory.inference import InferenceSettings, inference
from llmlab.engine.memory.machine import OWN, in_table, machine_gpus
from llmlab.engine.memory.overview import areas, inference_fits, strategies, training_fits
from llmlab.engine.memory.roofline import decode_roofline
from llmlab.engine.memory.sharding import Offload, ShardingSettings, Strategy, sharded_training
from llmlab.engine.memory.sources import from_list, from_loaded, from_path, from_spec
from llmlab.engine.memory.sources import from_values as shape_of
from llmlab.engine.memory.speed import measure_decode
from llmlab.engine.memory.training import Lora, Precision, TrainingSettings, training
from tests.engine.memory_shapes import GIB, shape

LLAMA = dict(architecture("TinyLlama/TinyLlama-1.1B").config)
MODELS = ("gpt2", "meta-llama/Meta-Llama-3-8B", "google/gemma-2-2b", "t5-base", "bert-base-cased")

# Sources


def test_every_source_gives_the_same(tmp_path: Path) -> None:
    expected = from_list("TinyLlama/TinyLlama-1.1B").shape
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    for found in (
        shape_of(LLAMA),
        from_path(tmp_path),
        from_path(tmp_path / "config.json"),
        from_spec(str(tmp_path)),
        from_spec(str(tmp_path / "config.json")),
    ):
        assert found.shape.tensors == expected.tensors
        assert found.notes == ()
    assert from_path(tmp_path / "config.json").shape.name == tmp_path.name


def test_the_loaded_model() -> None:
    engine = Engine.open("bundled:decoder", device="cpu")
    assert from_loaded(engine.loaded).shape.parameters == engine.info.parameters
    assert from_spec("bundled:decoder").shape.tensors == from_loaded(engine.loaded).shape.tensors
    speed = measure_decode(engine, "Once upon a time", new_tokens=8)
    assert speed.tokens == 7
    assert speed.tokens_per_second > 0
    assert 5 <= speed.context <= 12
    with pytest.raises(InputError, match="cannot be timed"):
        measure_decode(engine, "Once", new_tokens=1)


def test_a_hub_id_downloads_the_configuration_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    asked: list[str] = []

    def fetch(repo_id: str, control: object, *, weights: bool = False) -> Path:
        assert not weights
        asked.append(repo_id)
        return tmp_path

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "cached_folder", lambda repo_id: None)
    assert from_spec("someone/tiny").shape.name == "tiny"
    assert asked == ["someone/tiny"]
    monkeypatch.setattr(hub, "cached_folder", lambda repo_id: tmp_path)
    assert from_spec("someone/tiny").shape.parameters == from_list("TinyLlama/TinyLlama-1.1B").shape.parameters
    assert asked == ["someone/tiny"]  # what is there already is not asked for again
    monkeypatch.setattr(hub, "cached_folder", lambda repo_id: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AccessError, match="offline"):
        from_spec("someone/tiny")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": -4}, "hidden_size is -4"),
        ({"hidden_size": None}, "hidden_size is null"),
        ({"hidden_size": "2048"}, "hidden_size is “2048”"),
        ({"hidden_size": 2048.5}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"vocab_size": 10**20}, "vocab_size"),
        ({"intermediate_size": -1}, "intermediate_size"),
        ({"max_position_embeddings": -1}, "max_position_embeddings"),
        ({"text_config": {"hidden_size": 0}}, "hidden_size"),
    ],
)
def test_a_size_that_cannot_be_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelFileError, match=named) as caught:
        shape_of({**LLAMA, **change})
    assert caught.value.hint


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_size_that_is_missing_is_named(field: str) -> None:
    values = {name: value for name, value in LLAMA.items() if name != field}
    try:
        notes = shape_of(values).notes
    except EngineError as error:  # the default may not go with the other sizes
        notes = (error.message,)
    assert any(field in note or "heads" in note for note in notes)


def test_missing_sizes_are_named_as_the_file_would_spell_them() -> None:
    notes = shape_of({"model_type": "gpt2", "n_layer": 3}).notes
    assert [note.split()[0] for note in notes] == ["n_embd", "n_head", "vocab_size"]
    assert "768" in notes[0]


def test_too_many_parameters_in_all() -> None:
    with pytest.raises(ModelFileError, match="which no computer holds"):
        shape_of({**LLAMA, "hidden_size": 3_200_000, "intermediate_size": 10**7, "num_hidden_layers": 20})


def test_no_architecture_at_all(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="model_type"):
        shape_of({"hidden_size": 3})
    with pytest.raises(ModelFileError, match="no file"):
        from_path(tmp_path)
    (tmp_path / "config.json").write_text("[1, 2")
    with pytest.raises(ModelFileError, match=r"config\.json"):
        from_path(tmp_path)
    for spec in ("", "no such/thing/at all", "\0"):
        with pytest.raises((InputError, ModelNotFoundError)):
            from_spec(spec)


# The edited table


def test_rows_are_added_changed_and_removed() -> None:
    table = GpuTable()
    assert table.all() == gpus()
    assert not table.changed
    mine = checked_row("  Mine   own ", 20, 500)
    table = table.with_row(mine).without("T4").with_row(checked_row("L4", 25, 300, gpu("L4")), "L4")
    names = [row.name for row in table.all((replace(mine, name="here"),))]
    assert names[0] == "here"
    assert "Mine own" in names
    assert "T4" not in names
    assert next(row for row in table.all() if row.name == "L4").memory == 25 * GIB
    renamed = table.with_row(replace(mine, name="Other"), "Mine own")
    assert {"Other"} == {row.name for row in renamed.all()} & {"Other", "Mine own"}
    memories = [row.memory for row in table.all()]
    assert memories == sorted(memories)
    assert from_values(json.loads(json.dumps(to_values(table)))) == table
    assert table.with_row(gpu("T4")).removed == ()
    with pytest.raises(InputError, match="already"):
        table.with_row(replace(mine, name="H200"))


@pytest.mark.parametrize(
    ("name", "memory", "bandwidth", "named"),
    [("", 1, 1, "no name"), ("x" * 99, 1, 1, "too long"), ("a", 0, 1, "memory"), ("a", 1, float("nan"), "bandwidth")],
)
def test_rows_that_cannot_be(name: str, memory: float, bandwidth: float, named: str) -> None:
    with pytest.raises(InputError, match=named):
        checked_row(name, memory, bandwidth)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(rows=json_values, removed=json_values, row=st.dictionaries(st.sampled_from(["name", "memory"]), json_values))
def test_damaged_settings_leave_a_table(rows: Any, removed: Any, row: Any) -> None:
    assert from_values({"rows": rows, "removed": removed}).all()
    assert from_values({"rows": [row]}) == from_values(rows) == GpuTable()


# This machine


def test_this_machine() -> None:
    found = machine_gpus()
    assert found[-1].name == "Main memory (CPU)"
    assert len(found) == 1 + torch.cuda.device_count() + torch.backends.mps.is_available()
    assert all(row.kind == OWN and row.bandwidth > 10**8 for row in found)


@pytest.mark.parametrize(
    ("told", "row"),
    [
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 3090 Ti", "GeForce RTX 3090 Ti"),
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100 40 GB"),
        ("NVIDIA H100 80GB HBM3", None),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce GTX 960", None),
        ("", None),
    ],
)
def test_a_driver_s_name_is_found_in_the_table(told: str, row: str | None) -> None:
    found = in_table(told)
    assert (found.name if found else None) == row


@pytest.mark.cuda
def test_this_machine_s_gpu() -> None:
    first = machine_gpus()[0]
    assert first.memory == torch.cuda.get_device_properties(0).total_memory
    assert 10**11 < first.bandwidth < 10**14


# Grids


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(MODELS),
    tokens=st.lists(st.integers(0, 100_000), min_size=1, max_size=3),
    batches=st.lists(st.integers(1, 300), min_size=1, max_size=3),
    settings=st.builds(
        InferenceSettings,
        dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
        quantization=st.sampled_from([None, "nf4", "int8", "Q4_K_M"]),
        source_tokens=st.sampled_from([0, 700]),
        cache_dtype=st.sampled_from(["bfloat16", "int4", "q8_0", "float32"]),
        convention=st.sampled_from(["transformers", "paged"]),
        prefill=st.sampled_from([None, 512]),
        all_logits=st.booleans(),
        flash=st.booleans(),
        margin=st.sampled_from([0.0, 0.05]),
    ),
)
def test_the_grid_is_what_inference_says(
    name: str, tokens: list[int], batches: list[int], settings: InferenceSettings
) -> None:
    found = inference_grid(shape(name), settings, tokens, batches)
    expected = [[inference(shape(name), replace(settings, tokens=t, batch=b)).total for t in tokens] for b in batches]
    assert found.shape == (len(batches), len(tokens))
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=2)  # bytes: parts of a byte are rounded up once less


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(MODELS),
    tokens=st.lists(st.integers(1, 20_000), min_size=1, max_size=3),
    batches=st.lists(st.integers(1, 64), min_size=1, max_size=3),
    settings=st.builds(
        TrainingSettings,
        precision=st.sampled_from(Precision),
        checkpointing=st.sampled_from(Checkpointing),
        flash=st.booleans(),
        chunked_loss=st.booleans(),
        margin=st.sampled_from([0.0, 0.05]),
    ),
)
def test_the_grid_is_what_training_says(
    name: str, tokens: list[int], batches: list[int], settings: TrainingSettings
) -> None:
    found = training_grid(shape(name), settings, tokens, batches)
    expected = [[training(shape(name), replace(settings, tokens=t, batch=b)).total for t in tokens] for b in batches]
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1)


def test_the_grid_of_lora_too() -> None:
    settings = TrainingSettings(lora=Lora(8, ("q_proj", "v_proj"), "nf4"), checkpointing=Checkpointing.FULL)
    found = training_grid(shape(MODELS[1]), settings, [100, 1000], [1, 2])
    assert found[1, 1] == training(shape(MODELS[1]), replace(settings, tokens=1000, batch=2)).total


@pytest.mark.parametrize("name", MODELS[:4])
def test_what_fits_on_all_gpus_at_once_is_what_fits_on_each(name: str) -> None:
    memories = [GIB // 2, 3 * GIB, 24 * GIB, 80 * GIB]
    settings = InferenceSettings(batch=3, tokens=900)
    one = shape(name)
    assert longest_contexts(one, settings, memories) == tuple(longest_context(one, settings, m) for m in memories)
    assert largest_batches(one, settings, memories) == tuple(largest_batch(one, settings, m) for m in memories)
    train = TrainingSettings(tokens=300)
    assert largest_training_batches(one, train, memories) == tuple(
        largest_training_batch(one, train, m) for m in memories
    )


def test_the_lines_of_the_contour_plot() -> None:
    settings = InferenceSettings()
    lines = contours(shape("gpt2"), settings, [4 * GIB, 8 * GIB], [1, 8, 64, 10**6])
    assert lines.shape == (2, 4)
    assert lines[1, -1] == 0
    for batch, value in zip([1, 8, 64], lines[1], strict=False):
        tokens = int(value)
        assert inference(shape("gpt2"), replace(settings, tokens=tokens, batch=batch)).total <= 8 * GIB
        assert inference(shape("gpt2"), replace(settings, tokens=tokens + 1, batch=batch)).total > 8 * GIB
    train = TrainingSettings()
    tokens = int(contours(shape("gpt2"), train, [8 * GIB], [4])[0, 0])
    assert tokens > 1
    assert training(shape("gpt2"), replace(train, tokens=tokens, batch=4)).total <= 8 * GIB


# Many GPUs at once


def test_every_gpu_of_the_table_for_a_model_that_runs() -> None:
    llama, settings = shape(MODELS[1]), InferenceSettings(tokens=2000, batch=2)
    found = inference_fits(llama, settings, gpus())
    for row in found[::7]:
        assert row.headroom == row.gpu.memory - inference(llama, settings).total
        assert row.fits == (row.headroom >= 0)
        assert row.context == longest_context(llama, settings, row.gpu.memory)
        best = best_precision(llama, settings, row.gpu.memory)
        assert row.precision == (best and (best.dtype, best.quantization, best.double))
        expected = decode_roofline(llama, settings, row.gpu.bandwidth).tokens_per_second
        assert row.tokens_per_second == pytest.approx(expected)
    assert all(row.tokens_per_second is None for row in inference_fits(shape("bert-base-cased"), settings, gpus()))


def test_main_memory_is_reckoned_with_a_cpus_kernels_and_no_cuda_context() -> None:
    llama, settings = shape(MODELS[1]), InferenceSettings(dtype="float32", tokens=2000)
    table = [Gpu("Main memory (CPU)", "", "this machine", 10**12, 10**10, "", cpu=True), *gpus()[:2]]
    main, first, _ = inference_fits(llama, settings, table)
    assert main.needs == inference(llama, replace(settings, cuda=False, cuda_context=0)).total
    assert first.needs == inference(llama, settings).total > main.needs
    plan, step = ShardingSettings(1, Strategy.DDP), TrainingSettings()
    main, first, _ = training_fits(llama, step, plan, table)
    assert main.needs == sharded_training(llama, replace(step, cuda=False, cuda_context=0), plan).total
    assert first.needs == sharded_training(llama, step, plan).total


@pytest.mark.parametrize("strategy", Strategy)
def test_every_gpu_of_the_table_for_a_training_run(strategy: Strategy) -> None:
    plan = ShardingSettings(16, strategy, tensor_parallel=2)
    gpt, settings = shape("gpt2-xl"), TrainingSettings(checkpointing=Checkpointing.FULL)
    for row in training_fits(gpt, settings, plan, gpus())[::11]:
        assert row.needs == sharded_training(gpt, settings, plan).total
        if row.batch is not None:
            assert sharded_training(gpt, replace(settings, batch=row.batch), plan).total <= row.gpu.memory + 4
            assert sharded_training(gpt, replace(settings, batch=row.batch + 1), plan).total > row.gpu.memory - 4


def test_strategies_side_by_side() -> None:
    found = strategies(shape("gpt2"), TrainingSettings(), ShardingSettings(8, Strategy.DDP, offload=Offload.ALL))
    assert [one.strategy for one in found] == list(Strategy)
    assert "keeps the weights" in found[0].refused
    assert found[3].estimate is not None
    assert found[3].sent is not None
    assert found[3].sent.relative == pytest.approx(1.5)


def test_areas_leave_out_what_cannot_be() -> None:
    plan = ShardingSettings(8, Strategy.FULL_SHARD, offload=Offload.ALL, tensor_parallel=4)
    found = areas(shape("gpt2"), TrainingSettings(), plan)
    assert [gpus for gpus, _ in found] == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert found[0][1] == sharded_training(shape("gpt2"), TrainingSettings(), plan)
    totals = [estimate.total for _, estimate in found]
    assert totals == sorted(totals, reverse=True)


def test_gpus_come_first_with_the_table_s_bandwidth_or_the_driver_s_or_a_measured_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = [
        SimpleNamespace(name="NVIDIA H200", total_memory=150 * GIB, memory_clock_rate=1, memory_bus_width=1),
        SimpleNamespace(name="Mystery 1", total_memory=8 * GIB, memory_clock_rate=7_000_000, memory_bus_width=256),
        SimpleNamespace(name="Mystery 2", total_memory=8 * GIB),
    ]
    monkeypatch.setattr(machine, "cuda_devices", lambda: len(told))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: told[device.index])
    monkeypatch.setattr(machine, "read_bandwidth", lambda device, control: 123 if device.type == "cuda" else 45)
    found = machine_gpus()
    assert [row.name for row in found] == ["NVIDIA H200", "Mystery 1", "Mystery 2", "Main memory (CPU)"]
    assert [row.bandwidth for row in found] == [4_800_000_000_000, 448_000_000_000, 123, 45]
    assert found[0].memory == 150 * GIB  # its own, as the driver has it
    assert "measured" in found[2].source
    assert {row.kind for row in found} == {OWN}
