"""The command line means what it says."""

from __future__ import annotations

import pytest

from llmlab import cli
from llmlab.engine.types import ModelRequest


def request(*argv: str, remembered: ModelRequest | None = None) -> ModelRequest:
    return cli.model_request(cli.parser().parse_args(argv), remembered)


def test_the_bundled_decoder_is_the_first_model_ever() -> None:
    assert request() == ModelRequest("bundled:decoder")


def test_the_last_model_comes_back_as_it_was() -> None:
    last = ModelRequest("gpt2", device="cpu", dtype="bfloat16", quantization="nf4", double_quantization=True)
    assert request(remembered=last) == last


def test_the_command_line_wins_over_what_is_remembered() -> None:
    last = ModelRequest("gpt2", quantization="nf4")
    assert request("--model", "bundled:encoder", remembered=last) == ModelRequest("bundled:encoder")
    assert request("--device", "cuda:1", "--offline", remembered=last) == ModelRequest(
        "gpt2", device="cuda:1", quantization="nf4", offline=True
    )


@pytest.mark.parametrize("argv", [["--device", "tpu"], ["--device", "cpu:0"], ["--dtype", "int3"], ["--nonsense"]])
def test_what_is_not_understood_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.parser().parse_args(argv)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
