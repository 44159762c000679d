"""`llmlab` and `python -m llmlab`."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
from collections.abc import Sequence

from llmlab import children, cli


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, set up the process, run the program; returns its exit status."""
    status = children.run_as_child(sys.argv[1:])
    if status is not None:
        return status
    arguments = cli.parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(RuntimeError, AttributeError):  # no stderr in a windowed program
        faulthandler.enable()
    # Read by huggingface_hub and libgomp when they are imported, which is later than this.
    if arguments.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning workers would take the window's core
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.setswitchinterval(0.0005)
    if arguments.snapshot is not None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.platform == "win32":
        import torch  # noqa: F401 - its DLLs must be found before Qt's
    if arguments.self_test:
        from llmlab import selftest

        return selftest.run(cli.models_to_try(arguments))
    from llmlab import app

    if arguments.snapshot is not None:
        return app.snapshot(arguments.snapshot, arguments.panel)
    return app.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
