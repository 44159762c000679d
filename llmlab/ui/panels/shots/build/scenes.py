"""The tab's pictures."""

from __future__ import annotations

from typing import Any

from llmlab.ui.panel import Scene

_TABLE = """text,label,source
"A warm, funny film about two old friends.",liked,paper
The plot is thin and the jokes are old.,disliked,paper
I left after half an hour,disliked
"She said ""never again"".",disliked,blog,late
What a lovely evening!,liked,blog
"An open quote and a row that is not lost,liked,blog
The best pie in town.,liked,paper
Cold soup and slow waiters.,disliked,blog
"""


def _sample(name: str, shots: int | None = None) -> Any:
    def prepare(panel: Any) -> None:
        from llmlab.ui.panels.shots.build import samples

        panel.choose("build")
        tab = panel.presenter.tabs["build"]

        def opened(imported: Any) -> bool:
            tab.edit("Open a project", imported.project)
            if shots is not None:
                tab.set_shots(shots)
            return True

        tab.importing.open(samples.sample(name), opened)

    return prepare


def _file(panel: Any) -> None:
    from llmlab.engine import datasets

    panel.choose("build")
    tab = panel.presenter.tabs["build"]
    tab.importing.look(lambda options, _control: datasets.from_bytes("reviews.csv", _TABLE.encode(), options))


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


def _looked_at(panel: Any) -> bool:
    return bool(panel.presenter.settled and panel.presenter.tabs["build"].importing.is_open)


SCENES = (
    Scene("build", "bundled:decoder", "", _sample("invented-labels"), _settled),
    Scene("build-import", "bundled:decoder", "", _file, _looked_at),
    Scene("build-gap", "bundled:encoder", "", _sample("girl-or-boy"), _settled),
)
