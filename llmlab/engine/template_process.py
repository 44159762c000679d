"""Templates are programs: a sandbox keeps them from the machine, but not from running forever or taking all memory.

So they run in a process of their own, which can be ended at any moment.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from typing import IO, Any

from llmlab.children import Child
from llmlab.engine import hub

START_SECONDS = 30.0  # for the process, on a busy machine


def ask(child: Child, request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What the child answers within `seconds`, or {"error": why there is no answer}: start, time or memory."""
    process = subprocess.Popen(
        child.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=hub.child_environment(),
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert process.stdin is not None
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name="template", daemon=True)
    reader.start()
    try:
        if lines.get(timeout=START_SECONDS).strip() != b"ready":
            return {"error": "start"}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        line = lines.get(timeout=seconds)
        return dict(json.loads(line)) if line else {"error": "memory"}
    except queue.Empty:
        return {"error": "time"}
    except (OSError, ValueError):
        return {"error": "memory"}
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        with contextlib.suppress(OSError):  # the request may not have been read
            process.stdin.close()


def _read(output: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    for line in output:
        lines.put(line)
    lines.put(b"")
