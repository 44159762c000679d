"""The command line, parsed before anything heavy is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from llmlab import __version__
from llmlab.engine.types import ModelRequest

DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZATIONS = ("none", "int8", "nf4", "fp4")


def parser() -> argparse.ArgumentParser:
    """What `llmlab` understands."""
    result = argparse.ArgumentParser(
        prog="llmlab",
        description="A desktop laboratory for exploring how language models behave.",
        epilog="Models: bundled:decoder, bundled:encoder, bundled:seq2seq, bundled:draft, a folder, or a Hugging Face "
        "hub id.",
    )
    result.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        type=Path,
        help="a text (becomes the prompt), a table or task file (examples for the Shots panel), or a model folder",
    )
    result.add_argument("--model", metavar="SPEC", help="the model to open")
    result.add_argument(
        "--device", default="auto", type=_device, metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps"
    )
    result.add_argument("--dtype", default="auto", choices=DTYPES, help="precision of the weights")
    result.add_argument("--quantization", default="none", choices=QUANTIZATIONS, help="with bitsandbytes")
    result.add_argument("--panel", metavar="NAME", help="the panel to show first")
    result.add_argument("--offline", action="store_true", help="never use the network")
    result.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    result.add_argument(
        "--snapshot",
        metavar="DIR",
        type=Path,
        help="write pictures of every panel, or of --panel alone, to DIR and exit",
    )
    result.add_argument(
        "--self-test",
        action="store_true",
        help="try everything that needs no window and exit, with status 0 if it works; opens --model and FILEs (model "
        "folders) too",
    )
    result.add_argument("--version", action="version", version=f"LLM Lab {__version__}")
    return result


def model_request(arguments: argparse.Namespace, remembered: ModelRequest | None) -> ModelRequest:
    """The model to open at start: as asked for, else the last one, else the bundled decoder.

    Device, precision and quantization from the command line apply to whichever model that is.
    """
    quantization = None if arguments.quantization == "none" else arguments.quantization
    asked = {
        name: value for name, value in (("device", arguments.device), ("dtype", arguments.dtype)) if value != "auto"
    }
    if arguments.model or remembered is None:
        spec = arguments.model or "bundled:decoder"
        return ModelRequest(spec, quantization=quantization, offline=arguments.offline, **asked)
    return ModelRequest(
        remembered.spec,
        device=asked.get("device", remembered.device),
        dtype=asked.get("dtype", remembered.dtype),
        quantization=quantization or remembered.quantization,
        double_quantization=remembered.double_quantization,
        offline=arguments.offline,
    )


def models_to_try(arguments: argparse.Namespace) -> list[ModelRequest]:
    """What `--self-test` opens beside the bundled models: that of `--model`, and every folder."""
    specs = [*filter(None, [arguments.model]), *map(str, arguments.files)]
    quantization = None if arguments.quantization == "none" else arguments.quantization
    return [
        ModelRequest(spec, arguments.device, arguments.dtype, quantization, offline=arguments.offline) for spec in specs
    ]


def _device(text: str) -> str:
    name, _, index = text.partition(":")
    if name not in {"auto", "cpu", "cuda", "mps"} or (index and not (name == "cuda" and index.isdecimal())):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:N, mps")
    return text
