"""Copied scripts, run as a user would run them, against what the window shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmlab.engine import Engine
from llmlab.engine.knobs import STAGES
from llmlab.engine.progress import UNCONTROLLED
from llmlab.engine.sampling import GenerationSettings, SamplingSettings, shape
from llmlab.engine.types import ModelInfo
from llmlab.ui.panels.decoding import snippet
from llmlab.ui.panels.decoding.comparing import _events
from llmlab.ui.panels.decoding.strategies import Column, Plan, Strategy

PROMPTS = {
    "bundled:decoder": 'Once upon a time, "Lily" said\nto her',
    "bundled:seq2seq": "Lily went to the <extra_id_0> to play with <extra_id_1> friends.",
}
MASKED = "The <|mask|> sat on the <|mask|>."

pytestmark = pytest.mark.slow


def run(script: str, folder: Path) -> str:
    """What the script prints, in a process of its own."""
    path = folder / "copied.py"
    path.write_text(script, "utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, check=False, timeout=300, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def engine(spec: str) -> tuple[Engine, ModelInfo]:
    opened = Engine.open(spec, device="cpu", dtype="float32")
    return opened, opened.info


SAMPLE = GenerationSettings(SamplingSettings(temperature=1.3, top_k=50, min_p=0.01), 20, seed=3)
GREEDY = GenerationSettings(SamplingSettings(do_sample=False, repetition_penalty=1.3), 20)
WORDS = GenerationSettings(
    SamplingSettings(
        do_sample=False, no_repeat_ngram_size=2, min_new_tokens=5, encoder_repetition_penalty=1.2,
        bad_words_ids=((400,), (30, 31)), sequence_bias=(((500,), 2.5), ((30, 40), -3.0)),
    ),
    20,
)  # fmt: skip
OURS = GenerationSettings(
    SamplingSettings(do_sample=False, frequency_penalty=1.0, order=tuple(reversed(STAGES)), no_repeat_ngram_size=3), 20
)
TYPICAL = GenerationSettings(SamplingSettings(typical_p=0.7, eta_cutoff=0.001, presence_penalty=0.5), 20, seed=9)
STOPPED = GenerationSettings(SamplingSettings(do_sample=False), 20, stop=("the",))


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("bundled:decoder", SAMPLE),
        ("bundled:decoder", GREEDY),
        ("bundled:decoder", STOPPED),
        ("bundled:decoder", WORDS),
        ("bundled:decoder", OURS),
        ("bundled:decoder", TYPICAL),
        ("bundled:seq2seq", WORDS),
        ("bundled:seq2seq", GREEDY),
    ],
)
def test_a_script_prints_the_completion(spec: str, settings: GenerationSettings, tmp_path: Path) -> None:
    opened, info = engine(spec)
    steps = opened.generate(
        PROMPTS[spec],
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        stop=settings.stop,
        **settings.sampling.knobs(),
    )
    expected = "".join(step.text for step in steps)
    printed = run(snippet.generation(info, PROMPTS[spec], settings), tmp_path).removesuffix("\n")
    if settings.stop:  # transformers keeps the stop string and what stands before it in the last token
        printed = printed[: printed.find(settings.stop[0])] if settings.stop[0] in printed else printed
    assert printed == expected


BEAM_SETTINGS = GenerationSettings(
    SamplingSettings(temperature=0.7, top_k=12, top_p=0.9, repetition_penalty=1.2), max_new_tokens=12, seed=4
)


@pytest.mark.parametrize(
    ("spec", "plan"),
    [
        ("bundled:decoder", Plan(Strategy.BEAMS, beams=3)),
        ("bundled:seq2seq", Plan(Strategy.BEAMS, beams=4)),
        ("bundled:decoder", Plan(Strategy.BEAM_SAMPLE, 4, 3)),
        ("bundled:seq2seq", Plan(Strategy.BEAM_SAMPLE, 4, 3)),
        ("bundled:decoder", Plan(Strategy.LOOKUP)),
        ("bundled:decoder", Plan(Strategy.ASSISTED, guesses=4)),
        ("bundled:decoder", Plan(Strategy.ASSISTED, 4, guesses=4)),
        ("bundled:decoder", Plan(Strategy.GREEDY)),
    ],
)
def test_a_script_prints_the_text_of_a_column(spec: str, plan: Plan, tmp_path: Path) -> None:
    opened, info = engine(spec)
    column = Column(plan)
    session = SimpleNamespace(engine=opened)
    for event in _events(session, PROMPTS[spec], plan, BEAM_SETTINGS, UNCONTROLLED):  # type: ignore[arg-type]
        column.add(event)
    printed = run(snippet.strategy(info, PROMPTS[spec], plan, BEAM_SETTINGS), tmp_path)
    assert printed.removesuffix("\n") == column.text


def test_beams_with_settings_of_our_own_are_made_by_our_own_loop() -> None:
    _, info = engine("bundled:decoder")
    beams = Plan(Strategy.BEAM_SAMPLE, 4, 3)
    assert "model.generate(" in snippet.strategy(info, "a", beams, BEAM_SETTINGS)
    on_gpu = replace(info, device="cuda:0")
    assert "engine.beam_search(" in snippet.strategy(on_gpu, "a", beams, BEAM_SETTINGS), "a GPU draws otherwise"
    script = snippet.strategy(info, "a", beams, replace(OURS, sampling=replace(OURS.sampling, do_sample=True)))
    assert "engine.beam_search(" in script
    compile(script, "script", "exec")


def test_greedy_scripts_need_transformers_alone_as_far_as_it_can() -> None:
    _, info = engine("bundled:decoder")
    assert "model.generate(" in snippet.generation(info, "a", WORDS)
    assert "llmlab.engine" in snippet.generation(info, "a", OURS)


def test_the_fill_mask_script_prints_the_same_tokens(tmp_path: Path) -> None:
    opened, info = engine("bundled:encoder")
    printed = run(snippet.fill_mask(info, MASKED), tmp_path)
    rows = [re.match(r" *(\d+) (\S+) (.*)", line) for line in printed.splitlines()]
    found = [float(row.group(2)) for row in rows if row]
    expected = [
        p
        for position in opened.distribution(MASKED).positions
        for p in shape(position.sorted, SamplingSettings()).raw_probabilities[: snippet.BEST].tolist()
    ]
    assert found == pytest.approx(expected, abs=1e-5)
