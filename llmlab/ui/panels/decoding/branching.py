"""The tab of all branches: which there are, how probable each is, and where two of them differ. No Qt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llmlab.engine.knobs import PROCESSORS
from llmlab.engine.sampling import GenerationSettings
from llmlab.ui.panel import PanelContext
from llmlab.ui.panels.decoding.branches import Tree
from llmlab.ui.panels.decoding.knob_specs import STAGE_NAMES
from llmlab.ui.panels.decoding.run import Run
from llmlab.ui.panels.decoding.tabs import Playground

COLUMNS = (
    "branch", "depth", "name", "parts_at", "tokens", "log_probability", "perplexity", "settings", "seed", "prompt",
    "completion",
)  # fmt: skip
LONGEST_COMPARED = 1500  # tokens that differ; what is longer is called different as a whole
SHORT = {"temperature": "T", "top_k": "k", "top_p": "p", "min_p": "min-p", "repetition_penalty": "rep"}
FIRST_WORDS = 80  # characters, and tokens that may have none


@dataclass(frozen=True, slots=True)
class BranchRow:
    """One branch in the tree. `parts_at` is the number of its first own token, 1 for a completion from the start."""

    depth: int
    name: str  # as given, or its first own words
    named: bool
    parts_at: int
    tokens: int
    log_probability: float
    perplexity: float | None
    settings: str
    seed: str
    current: bool
    running: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text. `same`: the other text has it too."""

    text: str
    same: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One text of the comparison, or the only one."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class BranchScreen:
    """All that the tab shows."""

    rows: tuple[BranchRow, ...] = ()
    selected: tuple[int, ...] = ()
    sides: tuple[Side, ...] = ()
    note: str = ""
    can_undo: bool = False
    can_redo: bool = False


class BranchView(Protocol):
    """What is asked of the tab."""

    def show_branches(self, screen: BranchScreen) -> None:
        """Show the tree and the texts."""


class Branching:
    """Keeps the tab in step with the tree."""

    busy = False

    def __init__(self, _context: PanelContext, playground: Playground, view: BranchView) -> None:
        self._playground = playground
        self._view = view
        self._compared: tuple[Run, ...] = ()
        self._shown: BranchScreen | None = None

    def bring(self) -> None:
        """Show the tree as it is now."""
        screen = self._screen()
        if screen != self._shown:
            self._shown = screen
            self._view.show_branches(screen)

    def close(self) -> None:
        """Nothing is on its way."""

    # --- what the user does ---------------------------------------------------------------------------------

    def pick(self, rows: Sequence[int]) -> None:
        """One row is the text on screen from now on; two are compared."""
        runs = [run for run, _ in self._tree.walk()]
        picked = [runs[row] for row in rows if row < len(runs)]
        self._compared = tuple(picked[:2]) if len(picked) > 1 else ()
        if len(picked) == 1:
            self._branches.switch(picked[0])
        self.bring()

    def rename(self, row: int, name: str) -> None:
        """Give the branch in `row` a name; an empty one takes it away."""
        self._branches.rename(self._run_at(row), name.strip())
        self.bring()

    def name_of(self, row: int) -> str:
        """The name that was given to the branch in `row`."""
        return self._tree.name_of(self._run_at(row))

    def prune(self, row: int) -> None:
        """Take the branch in `row` away, with all that part from it."""
        self._compared = ()
        self._branches.prune(self._run_at(row))
        self.bring()

    def undo(self) -> None:
        """The tree before the last change."""
        self._branches.undo()
        self.bring()

    def redo(self) -> None:
        """The tree after it again."""
        self._branches.redo()
        self.bring()

    def export(self, kind: str) -> None:
        """All branches to a file ("csv", "json") or the clipboard ("copy")."""
        rows = list(_rows(self._tree))
        if rows:
            self._playground.copies.table(COLUMNS, rows, "branches", kind)

    # --- what is shown --------------------------------------------------------------------------------------

    @property
    def _branches(self) -> Any:
        return self._playground.completions.branches

    @property
    def _tree(self) -> Tree:
        tree: Tree = self._branches.tree
        return tree

    def _run_at(self, row: int) -> Run:
        return [run for run, _ in self._tree.walk()][row]

    def _screen(self) -> BranchScreen:
        tree = self._tree
        walked = list(tree.walk())
        compared = self._compared if all(tree.has(run) for run in self._compared) else ()
        marked = compared or ((tree.current,) if tree.current is not None else ())
        return BranchScreen(
            rows=tuple(_row(tree, run, depth) for run, depth in walked),
            selected=tuple(place for place, (run, _) in enumerate(walked) if any(run is each for each in marked)),
            sides=_sides(tree, marked),
            note=_note(compared, len(walked)),
            can_undo=self._branches.can_undo,
            can_redo=self._branches.can_redo,
        )


def settings_words(settings: GenerationSettings) -> str:
    """The knobs that do something, in few words."""
    sampling = settings.sampling
    acting = [name for name in sampling.stages if not sampling.greedy or name in PROCESSORS]
    told = ["greedy"] if sampling.greedy else []
    told += [_setting(name, getattr(sampling, name)) for name in acting]
    return " · ".join([*told, *(() if sampling.standard_order else ("another order",))]) or "as the model has it"


def _setting(name: str, value: object) -> str:
    """A knob with its number, or words, which have none."""
    short = SHORT.get(name, STAGE_NAMES[name].lower())
    return f"{short} {value:g}" if isinstance(value, (int, float)) else short


def _row(tree: Tree, run: Run, depth: int) -> BranchRow:
    name = tree.name_of(run)
    shared = _shared_with(tree, run)
    own = "".join(step.text for step in run.steps[shared : shared + FIRST_WORDS]).strip()[:FIRST_WORDS]
    return BranchRow(
        depth=depth,
        name=name or own or "(no text)",
        named=bool(name),
        parts_at=shared + 1,
        tokens=len(run.steps),
        log_probability=run.log_probability,
        perplexity=run.perplexity,
        settings=settings_words(run.settings),
        seed="" if run.settings.sampling.greedy else str(run.settings.seed),
        current=run is tree.current,
        running=run.outcome.value == "running",
    )


def _shared_with(tree: Tree, run: Run) -> int:
    """How many of its first tokens `run` shares with what it hangs from in the tree."""
    parent = tree.parent_of(run)
    if parent is None:
        return 0
    return run.parted if run.parent is parent else _common(run, parent)


def _common(first: Run, second: Run) -> int:
    pairs = enumerate(zip(first.ids, second.ids, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first.steps), len(second.steps)))


def _sides(tree: Tree, runs: Sequence[Run]) -> tuple[Side, ...]:
    if len(runs) == 2:
        first, second = compare(runs[0], runs[1])
        return (Side(_title(tree, runs[0]), first), Side(_title(tree, runs[1]), second))
    return tuple(_alone(tree, run) for run in runs)


def _alone(tree: Tree, run: Run) -> Side:
    shared = _shared_with(tree, run)
    parts = (
        Part("".join(step.text for step in run.steps[:shared]), same=True),
        Part("".join(step.text for step in run.steps[shared:]), same=shared == 0),
    )
    return Side(_title(tree, run), tuple(part for part in parts if part.text))


def _title(tree: Tree, run: Run) -> str:
    perplexity = f", perplexity {run.perplexity:.2f}" if run.perplexity is not None else ""
    name = f"{tree.name_of(run)} · " if tree.name_of(run) else ""
    return f"{name}ln p {run.log_probability:.2f}{perplexity} · {settings_words(run.settings)}"


def _note(compared: Sequence[Run], count: int) -> str:
    if len(compared) == 2:
        place = _common(*compared)
        return f"They part at token {place + 1}: what differs is marked."
    if count == 0:
        return "Completions appear here, and the branches that part from them."
    return "Click to switch, with Ctrl two to compare. A token's menu in the completion begins a branch."


def compare(first: Run, second: Run) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Both texts in stretches of tokens that the other one has too, or has not (Ratcliff and Obershelp's matching)."""
    start = _common(first, second)
    if max(len(first.steps), len(second.steps)) - start > LONGEST_COMPARED:
        return _stretches(first, [(0, start, True), (start, len(first.steps), False)]), _stretches(
            second, [(0, start, True), (start, len(second.steps), False)]
        )
    matcher = difflib.SequenceMatcher(None, first.ids[start:], second.ids[start:], autojunk=False)
    left, right = [(0, start, True)], [(0, start, True)]
    for kind, a, b, c, d in matcher.get_opcodes():
        left.append((start + a, start + b, kind == "equal"))
        right.append((start + c, start + d, kind == "equal"))
    return _stretches(first, left), _stretches(second, right)


def _stretches(run: Run, places: Sequence[tuple[int, int, bool]]) -> tuple[Part, ...]:
    parts = (Part("".join(step.text for step in run.steps[a:b]), same) for a, b, same in places)
    return tuple(part for part in parts if part.text)


def _rows(tree: Tree) -> Iterator[tuple[Any, ...]]:
    for number, (run, depth) in enumerate(tree.walk()):
        yield (
            number, depth, tree.name_of(run), _shared_with(tree, run) + 1, len(run.steps), run.log_probability,
            run.perplexity, settings_words(run.settings), run.settings.seed, run.prompt, run.text,
        )  # fmt: skip
