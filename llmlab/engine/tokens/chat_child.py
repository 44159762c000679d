"""Renders one chat template, as a process of its own that can be killed. Imports nothing but jinja2.

Writes "ready", reads {"template", "variables": [one object a text]} as a line of JSON from standard input, writes
{"texts"} or {"error", "text_of_error", "line"} as a line of JSON to standard output, and ends.
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 1 << 30  # bytes of address space
CPU_SECONDS = 5  # for the case that nobody is left to end this process


class RefusedError(TemplateError):
    """The template itself says that it does not take these messages."""


class Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; when rendering, it is what is inside it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the two tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """What chat templates may count on: https://huggingface.co/docs/transformers/chat_templating_writing."""
    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    jinja.filters["tojson"] = _to_json
    jinja.globals["raise_exception"] = _refuse
    jinja.globals["strftime_now"] = _now
    return jinja


def render(template: str, variables: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer to one request."""
    try:
        compiled = environment().from_string(template)
        return {"texts": [compiled.render(**each) for each in variables]}
    except RefusedError as error:
        return _error("refused", error)
    except SecurityError as error:
        return _error("sandbox", error)
    except UndefinedError as error:
        return _error("undefined", error)
    except TemplateSyntaxError as error:
        return {**_error("syntax", error), "line": error.lineno}
    except MemoryError:
        return {"error": "memory"}
    except Exception as error:  # noqa: BLE001 - a template can make any call fail
        return _error("other", error)


def main() -> int:
    """Serve one request."""
    limit()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    request = json.loads(sys.stdin.readline())
    sys.stdout.write(json.dumps(render(request["template"], request["variables"])) + "\n")
    sys.stdout.flush()
    return 0


def _error(kind: str, error: Exception) -> dict[str, Any]:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return {"error": kind, "text_of_error": lines[0][:300]}


def _refuse(message: object) -> str:
    raise RefusedError(str(message))


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def limit() -> None:
    """Bound memory and time, where the system can do that."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


if __name__ == "__main__":
    sys.exit(main())
