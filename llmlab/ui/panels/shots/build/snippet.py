"""A program that makes the prompt again, without this window. No Qt."""

from __future__ import annotations

from llmlab.engine.datasets.project import Project, dumps
from llmlab.engine.shots.types import Form

_HEAD = '''"""The prompt of “{name}”, put together as in LLM Lab."""

from llmlab.engine.datasets import project
from llmlab.engine.datasets.notes import Notes
{imports}
PROJECT = {yaml}

made = project.loads("project", PROJECT, Notes())
shots = [example for example in made.examples if example.included][: made.shots]
'''
_TEXT = """print(compose(made.spec, shots, made.query{mask}).text)
"""
_CHAT = """engine = Engine.open("bundled:decoder")  # any model with a chat template
print(prompt(engine.loaded, made.spec, shots, made.query).rendered.text)
"""


def program(project: Project) -> str:
    """Python that prints the prompt."""
    chat = project.spec.form is Form.CHAT
    imports = (
        "from llmlab.engine import Engine\nfrom llmlab.engine.shots.budget import prompt\n"
        if chat
        else "from llmlab.engine.shots.compose import compose\n"
    )
    lines = dumps(project).splitlines(keepends=True)
    yaml = "(\n" + "".join(f"    {line!r}\n" for line in lines) + ")"
    name = project.name.replace("\\", "").replace('"', "'").replace("\n", " ") or "prompt"
    mask = ', mask="[MASK]"' if project.spec.form is Form.CLOZE else ""
    return _HEAD.format(name=name, imports=imports, yaml=yaml) + (_CHAT if chat else _TEXT.format(mask=mask))
