"""The decoding playground: how a model's next-token distribution is shaped, drawn from, and grows into a text."""

from __future__ import annotations

from typing import Any

from llmlab.engine.types import Feature
from llmlab.ui.panel import Panel, PanelContext, PanelSpec, Scene
from llmlab.ui.panels.decoding.recognising import is_known, promise

STORY = "Once upon a time, there was a little girl named Lily. She loved to"


def _create(context: PanelContext) -> Panel:
    from llmlab.ui.panels.decoding.view import DecodingPanel

    return DecodingPanel(context)


def _generate(panel: Any) -> None:
    panel.presenter.change(tab="completion", max_new_tokens=60, seed=7, top_k=9, top_p=0.95)
    panel.show_params(panel.presenter.params)
    panel.presenter.runs.generate()


def _read(panel: Any) -> None:
    """The distribution comes by itself."""
    panel.presenter.change(tab="completion")
    panel.show_params(panel.presenter.params)


def _settled(panel: Any) -> bool:
    return bool(panel.presenter.settled)


def _fall(panel: Any) -> None:
    knobs = {"banned": ("play",), "presence_penalty": 0.5, "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05}
    panel.presenter.change(tab="waterfall", **knobs)
    panel.show_params(panel.presenter.params)


def _fallen(panel: Any) -> bool:
    """One token is followed to where it is removed."""
    canvas = panel.pages["waterfall"].canvas
    return _settled(panel) and bool(canvas.segments) and panel.presenter.parts["waterfall"].find("sing")


def _branch(panel: Any) -> None:
    panel.presenter.change(tab="branches", max_new_tokens=30, seed=7, top_k=9, top_p=0.95)
    panel.show_params(panel.presenter.params)
    panel.presenter.completions.branches.forget()
    panel.presenter.runs.generate()


def _branched(panel: Any) -> bool:
    """Two branches from the first text, the second one compared with it."""
    presenter, tree = panel.presenter, panel.presenter.completions.branches.tree
    if not _settled(panel) or presenter.completions.running:
        return False
    if len(tree.runs) < 3:
        at = 4 * len(tree.runs)
        best = tree.runs[0].steps[at].alternatives.ids.tolist()
        presenter.completions.branches.switch(tree.runs[0])
        presenter.runs.go_on(at, (next(i for i in best if i != tree.runs[0].steps[at].token_id),))
        return False
    panel.presenter.parts["branches"].pick((0, 2))
    return True


def _compare(panel: Any, last: str = "assisted") -> None:
    panel.presenter.change(tab="strategies", max_new_tokens=40, seed=7, top_k=9, top_p=0.95)
    panel.show_params(panel.presenter.params)
    panel.presenter.change(samples=2, ways=("greedy", "sample", "beam search", last))
    panel.pages["strategies"].show_set(panel.presenter.params)
    panel.presenter.parts["strategies"].run()


def _search(panel: Any) -> None:
    _compare(panel, "beam sample")
    panel.pages["strategies"].view._group.button(1).click()


def _compared(panel: Any) -> bool:
    """The picture begins where the tree does."""
    columns = panel.presenter.parts["strategies"].columns
    if not _settled(panel) or not columns or not all(column.state.value == "finished" for column in columns):
        return False
    for tree in panel.pages["strategies"].trees.values():
        tree.horizontalScrollBar().setValue(0)
    return True


def _sweep(panel: Any) -> None:
    panel.presenter.change(tab="sweep", max_new_tokens=30, seed=7, top_k=0)
    panel.show_params(panel.presenter.params)
    pane = panel.pages["sweep"]
    panel.presenter.parts["sweep"].run(pane.columns.typed, pane.rows.typed, pane.seeds.value())


def _swept(panel: Any) -> bool:
    """The texts of the last cell are looked at."""
    pane, part = panel.pages["sweep"], panel.presenter.parts["sweep"]
    if not _settled(panel) or part.swept is None or not all(text.finish_reason for text in part.swept.texts):
        return False
    pane.map._choose(3, 3)
    return True


def _ask(panel: Any) -> None:
    panel.presenter.change(tab="ask")
    panel.show_params(panel.presenter.params)
    panel.pages["ask"].editor.setPlainText("play\nread books\nplay with her toys\nfly to the moon\ncalculate")


def _asked(panel: Any) -> bool:
    """One of the longer answers is looked at."""
    pane = panel.pages["ask"]
    if not _settled(panel) or pane.answers.rows_model.rowCount() < 5:
        return False
    pane.answers.selectRow(3)
    return True


SAID = ("Hello", "Tell me a story about a cat.")


def _talk(panel: Any) -> None:
    panel.presenter.change(tab="chat", max_new_tokens=60, seed=1, temperature=0.7, top_k=40, top_p=0.95)
    panel.show_params(panel.presenter.params)
    panel.presenter.parts["chat"].clear()


def _read_chat(panel: Any) -> None:
    _talk(panel)
    panel.pages["chat"].view._group.button(1).click()


def _talked(panel: Any) -> bool:
    """Two things are said and answered."""
    part = panel.presenter.parts["chat"]
    turns = panel.pages["chat"]._screen.turns
    if not _settled(panel) or part.busy:
        return False
    if len(turns) < 2 * len(SAID):
        part.send(SAID[len(turns) // 2])
        return False
    return True


PANEL = PanelSpec(
    name="decoding",
    title="Decoding",
    tooltip="How the next token is chosen, and what comes of it",
    icon="decoding",
    needs=frozenset((Feature.NEXT_TOKEN, Feature.GENERATE, Feature.FILL_MASK)),
    create=_create,
    recognises=is_known,
    promise=promise,
    scenes=(
        Scene("decoder", "bundled:decoder", STORY, _generate, _settled),
        Scene("waterfall", "bundled:decoder", STORY, _fall, _fallen),
        Scene("branches", "bundled:decoder", STORY, _branch, _branched),
        Scene("strategies", "bundled:decoder", STORY, _compare, _compared),
        Scene("beams", "bundled:decoder", STORY, _search, _compared),
        Scene("sweep", "bundled:decoder", STORY, _sweep, _swept),
        Scene("ask", "bundled:decoder", STORY, _ask, _asked),
        Scene("chat", "bundled:decoder", STORY, _talk, _talked),
        Scene("chat-read", "bundled:decoder", STORY, _read_chat, _talked),
        Scene(
            "encoder",
            "bundled:encoder",
            "Tom and Lily went to the <|mask|> to play with the <|mask|>.",
            _read,
            _settled,
        ),
        Scene(
            "seq2seq",
            "bundled:seq2seq",
            "Lily went to the <extra_id_0> to play with <extra_id_1> friends.",
            _generate,
            _settled,
        ),
    ),
)
