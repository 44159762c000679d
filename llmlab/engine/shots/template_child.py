"""Renders Jinja templates for many rows, as a process of its own that can be killed. Imports nothing but jinja2.

Writes "ready", reads {"templates": [source], "rows": [[number of the template, {field: text}]]} as a line of JSON
from standard input, writes {"texts"} or {"error", "text_of_error"} as a line of JSON, and ends.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from llmlab.engine.shots import jinja
from llmlab.engine.tokens.chat_child import limit


def render(templates: list[str], rows: list[tuple[int, dict[str, str]]]) -> dict[str, Any]:
    """The answer to one request."""
    environment = jinja.environment()
    compiled: dict[int, Any] = {}
    texts: list[str] = []
    try:
        for number, values in rows:
            if number not in compiled:
                compiled[number] = environment.from_string(templates[number])
            texts.append(compiled[number].render(**values))
    except Exception as error:  # noqa: BLE001 - a template can make any call fail
        kind, text = jinja.kind_of(error)
        return {"error": kind, "text_of_error": text}
    return {"texts": texts}


def main() -> int:
    """Serve one request."""
    limit()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    request = json.loads(sys.stdin.readline())
    sys.stdout.write(json.dumps(render(request["templates"], request["rows"])) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
