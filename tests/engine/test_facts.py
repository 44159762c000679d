"""The built-in tables against themselves: what a row's figures have to do with each other, and where they are from."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from llmlab.engine.memory import architectures as list_of_architectures
from llmlab.engine.memory import hardware
from llmlab.engine.memory.architectures import architecture, architectures
from llmlab.engine.memory.hardware import gpu, gpus
from llmlab.engine.memory.machine import in_table
from llmlab.engine.scaling import known
from llmlab.engine.scaling.known import accelerators, known_models, utilizations
from llmlab.engine.scaling.laws import compute

Row = dict[str, Any]

# Operations of one unit in one clock, 16-bit factors and 32-bit sums: twice the multiply-adds of the vendors' white
# papers. GeForce has half the rate of the same chip elsewhere; each generation of data centre doubles.
PER_CLOCK = {
    "Volta": 1024,
    "Turing": 1024,
    "GeForce Ampere": 512,
    "GA102, full rate": 1024,
    "GeForce Ada": 512,
    "GeForce Blackwell": 512,
    "GA100": 2048,
    "Hopper": 4096,
    "CDNA 2": 1024,
    "CDNA 3": 2048,
    "CDNA 4": 4096,
}


def rows(file: Path, key: str) -> list[Row]:
    found: list[Row] = json.loads(file.read_text(encoding="utf-8"))[key]
    return found


GPUS = rows(hardware.table_path(), "gpus")
ACCELERATORS = rows(known.table_path("accelerators"), "accelerators")
MODELS = rows(known.table_path("models"), "models")


def named(found: list[Row], *fields: str) -> Any:
    """Those that have the fields, each under its name."""
    return [pytest.param(row, id=row["name"]) for row in found if all(field in row for field in fields)]


def test_every_row_has_one_name_and_a_source() -> None:
    tables = (gpus(), accelerators(), known_models(), architectures())
    for table in tables:
        names = [row.name for row in table]
        assert len(set(names)) == len(names)
        assert all(len(row.source) > 10 and row.source == row.source.strip() for row in table)
    assert all(run.source for run in utilizations())


def test_what_is_not_confirmed_says_so_in_one_way() -> None:
    tables = (gpus(), accelerators(), known_models(), architectures())
    doubtful = [row.source for table in tables for row in table if re.search(r"unsure|unknown|perhaps|\?", row.source)]
    assert not doubtful
    assert all("; not confirmed" in row.source for table in tables for row in table if "confirmed" in row.source)


def test_no_fact_is_a_path_of_somebody_s_machine() -> None:
    for file in (hardware.table_path(), list_of_architectures.list_path(), *map(known.table_path, ("models",))):
        assert not re.search(r"/home/|/work/|/tmp/|localhost", file.read_text(encoding="utf-8"))


# GPUs


@pytest.mark.parametrize("row", named(GPUS, "bus_bits"))
def test_bandwidth_is_bus_width_times_data_rate(row: Row) -> None:
    counted = row["bus_bits"] / 8 * row["data_rate_gbit_s"]
    if row["kind"] in ("data centre", "unified"):  # printed in TB/s with a digit or two, mostly rounded down
        assert 0.996 <= counted / row["bandwidth_gb_s"] <= 1.025
    elif "not confirmed" not in row["source"]:
        assert counted == pytest.approx(row["bandwidth_gb_s"], rel=0.001)


@pytest.mark.parametrize("row", named(GPUS))
def test_the_bus_stands_beside_the_bandwidth_of_every_card_with_gddr(row: Row) -> None:
    assert row["kind"] in ("consumer", "workstation", "data centre", "unified")
    assert row["kind"] in ("data centre", "unified") or "bus_bits" in row
    assert ("bus_bits" in row) == ("data_rate_gbit_s" in row)


@pytest.mark.parametrize("row", named(GPUS, "reported_mib"))
def test_a_driver_reports_no_more_than_was_sold_and_little_less(row: Row) -> None:
    sold = row["memory_gib"] * 1024
    # ECC and firmware take a part; HBM3e is sold by the 10⁹ bytes by some
    assert 0.92 * sold <= row["reported_mib"] <= sold
    assert f"{row['reported_mib']:,} MiB" in row["source"]
    assert gpu(row["name"]).memory == row["reported_mib"] * 2**20


@pytest.mark.parametrize(
    ("told", "row"),
    [
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4060 Ti", None),  # 8 or 16 GB: 288 GB/s both, but not the 272 of a 4060
        ("NVIDIA GeForce RTX 4070 Ti", "GeForce RTX 4070 Ti"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "GeForce RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 3070 Ti", None),
        ("NVIDIA GeForce RTX 3060 Ti", None),
        ("NVIDIA GeForce RTX 2060 with Max-Q Design", None),
        ("NVIDIA GeForce RTX 2060 SUPER", None),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        ("AMD Radeon RX 7900 XT", "Radeon RX 7900 XT"),
        ("AMD Radeon RX 7900 XTX", "Radeon RX 7900 XTX"),
        ("AMD Instinct MI355X", "Instinct MI355X"),
    ],
)
def test_a_variant_is_not_taken_for_the_plain_card(told: str, row: str | None) -> None:
    found = in_table(told)
    assert (found.name if found else None) == row


# Peaks


@pytest.mark.parametrize("row", named(ACCELERATORS, "units"))
def test_a_peak_is_units_times_clock_times_operations(row: Row) -> None:
    assert row["per_clock"] == PER_CLOCK[row["architecture"]]
    counted = row["units"] * row["clock_mhz"] * 1e6 * row["per_clock"]
    assert counted == pytest.approx(row["peak"], rel=0.01)


@pytest.mark.parametrize("row", named(ACCELERATORS))
def test_the_figure_of_the_source_gives_the_dense_peak(row: Row) -> None:
    said = re.search(r"([\d.,]+) ([TP])FLOPS(?: BF16| FP16)?( with sparsity)?( for 8 GPUs)?", row["source"])
    assert said, row["source"]
    figure = float(said[1].replace(",", "")) * {"T": 1e12, "P": 1e15}[said[2]]
    assert figure / (2 if said[3] else 1) / (8 if said[4] else 1) == pytest.approx(row["peak"], rel=1e-9)


def test_a_gpu_of_both_tables_computes_for_every_byte_what_its_generation_does() -> None:
    """Operations for a byte that is read: a wrong power of ten, or a sparse peak, falls out of the range."""
    by_name = {one.name: one.bandwidth for one in gpus()}
    both = {each.name: each.peak / by_name[each.name] for each in accelerators() if each.name in by_name}
    assert len(both) >= 8
    assert all(70 <= ratio <= 425 for ratio in both.values()), both


# Models


@pytest.mark.parametrize("row", named(MODELS, "published_operations"))
def test_six_n_d_is_the_published_compute(row: Row) -> None:
    counted = float(compute(row.get("active", row["parameters"]), row["tokens"]))
    assert counted == pytest.approx(row["published_operations"], rel=row.get("tolerance", 0.03))


def test_a_tolerance_of_its_own_has_its_reason_in_the_source() -> None:
    wide = [row for row in MODELS if row.get("tolerance", 0) > 0.03]
    assert [row["name"] for row in wide] == ["Gopher"]
    assert "own count" in wide[0]["source"]


# Rows of the models that a row of the architectures counts, parameter by parameter (the latter are held elsewhere).
COUNTED = {
    "GPT-NeoX-20B": "EleutherAI/gpt-neox-20b",
    "Pythia 160M": "EleutherAI/pythia-160m",
    "Pythia 12B": "EleutherAI/pythia-12b",
    "Llama 2 7B": "meta-llama/Llama-2-7b-hf",
    "Llama 2 70B": "meta-llama/Llama-2-70b-hf",
    "TinyLlama": "TinyLlama/TinyLlama-1.1B",
    "Gemma 2 2B": "google/gemma-2-2b",
    "Llama 3 8B": "meta-llama/Meta-Llama-3-8B",
    "Qwen2.5 0.5B": "Qwen/Qwen2.5-0.5B",
    "Phi-4": "microsoft/phi-4",
    "OLMo 2 7B": "allenai/OLMo-2-1124-7B",
    "OLMo 2 13B": "allenai/OLMo-2-1124-13B",
    "OLMo 2 32B": "allenai/OLMo-2-0325-32B",
    "SmolLM2 135M": "HuggingFaceTB/SmolLM2-135M",
    "SmolLM2 1.7B": "HuggingFaceTB/SmolLM2-1.7B",
    "Gemma 3 270M": "google/gemma-3-270m",
    "Gemma 3 1B": "google/gemma-3-1b-pt",
    "Gemma 3 27B": "google/gemma-3-27b-pt (text)",
    "Qwen3 0.6B": "Qwen/Qwen3-0.6B",
    "Qwen3 235B-A22B": "Qwen/Qwen3-235B-A22B",
    "SmolLM3": "HuggingFaceTB/SmolLM3-3B",
    "Olmo 3 7B": "allenai/Olmo-3-1025-7B",
    "Olmo 3 32B": "allenai/Olmo-3-1125-32B",
}
ROUNDED = {  # as its source prints it
    "GPT-3 175B": "OPT 175B (as its paper has it)",
    "LLaMA 7B": "huggyllama/llama-7b",
    "LLaMA 13B": "meta-llama/Llama-2-13b-hf",
    "LLaMA 33B": "LLaMA-1 33B",
    "LLaMA 65B": "LLaMA-1 65B",
    "BLOOM": "bigscience/bloom (176B)",
    "Llama 3.1 405B": "meta-llama/Llama-3.1-405B",
    "DeepSeek-V3": "deepseek-ai/DeepSeek-V3",
    "Llama 4 Scout": "meta-llama/Llama-4-Scout-17B-16E (text)",
}


@pytest.mark.parametrize(("model", "counted"), COUNTED.items(), ids=COUNTED)
def test_parameters_counted_on_the_architecture(model: str, counted: str) -> None:
    found = next(row for row in known_models() if row.name == model)
    assert found.parameters == architecture(counted).parameters
    assert "counted on the architecture" in found.source


@pytest.mark.parametrize(("model", "counted"), ROUNDED.items(), ids=ROUNDED)
def test_printed_parameters_are_those_of_the_architecture(model: str, counted: str) -> None:
    found = next(row for row in known_models() if row.name == model)
    assert found.parameters == pytest.approx(architecture(counted).parameters, rel=0.012)


def test_who_claims_to_have_counted_did() -> None:
    claims = {row.name for row in known_models() if "parameters: counted on the architecture" in row.source}
    assert claims == set(COUNTED)


def test_versions_of_a_maker_s_family_were_trained_in_a_sensible_order() -> None:
    """Experts active for a token are a part of all, and no published run has under half a token a parameter."""
    by_maker = defaultdict(list)
    for model in known_models():
        by_maker[model.maker].append(model)
        assert model.active <= model.parameters
        assert 0.5 <= model.tokens / model.active <= 70_000
        assert 2020 <= model.year <= 2026
    assert len(by_maker) >= 15
