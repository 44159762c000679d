"""All completions that were made of the loaded model, as a tree that can be gone through, pruned and undone. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from llmlab.ui.panels.decoding.run import Run

MOST_RUNS = 200  # the oldest leaves go
MOST_UNDOS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A moment of the tree: its runs, oldest first, the one on screen, and the names that were given."""

    runs: tuple[Run, ...] = ()
    current: Run | None = None
    names: tuple[tuple[Run, str], ...] = ()

    def name_of(self, run: Run) -> str:
        """The name that was given to `run`; empty if none."""
        return next((name for named, name in self.names if named is run), "")

    def named(self, run: Run, name: str) -> Tree:
        """With a name for `run`; an empty one takes it away."""
        others = tuple(pair for pair in self.names if pair[0] is not run)
        return replace(self, names=(*others, (run, name)) if name else others)

    def parent_of(self, run: Run) -> Run | None:
        """What `run` parts from; where that one was pruned, what that one parted from."""
        parent = run.parent
        while parent is not None and not self.has(parent):
            parent = parent.parent
        return parent

    def has(self, run: Run) -> bool:
        """Whether `run` is in it."""
        return any(each is run for each in self.runs)

    def walk(self, parent: Run | None = None) -> Iterator[tuple[Run, int]]:
        """Every run below `parent` with its depth, each followed by its branches."""
        branches: dict[int, list[Run]] = {}
        for run in self.runs:
            branches.setdefault(id(self.parent_of(run)), []).append(run)

        def below(run: Run | None, depth: int) -> Iterator[tuple[Run, int]]:
            for branch in branches.get(id(run), ()):
                yield branch, depth
                yield from below(branch, depth + 1)

        return below(parent, 0)

    def below(self, run: Run) -> tuple[Run, ...]:
        """`run` and all that part from it."""
        return (run, *(each for each, _ in self.walk(run)))


@dataclass(slots=True, eq=False)
class Branches:
    """The tree as it is now, and as it was. `changed` is called after every change."""

    changed: Callable[[], None] = lambda: None
    tree: Tree = field(default_factory=Tree)
    _undo: list[Tree] = field(default_factory=list)
    _redo: list[Tree] = field(default_factory=list)

    def add(self, run: Run) -> None:
        """A new run, which is on screen from now on."""
        runs = (*self.tree.runs, run)
        while len(runs) > MOST_RUNS:
            runs = self._without_oldest_leaf(runs, run)
        self._become(replace(self.tree, runs=runs, current=run))

    def switch(self, run: Run | None) -> None:
        """Another run on screen, or none."""
        if run is not self.tree.current and (run is None or self.tree.has(run)):
            self._become(replace(self.tree, current=run))

    def rename(self, run: Run, name: str) -> None:
        """Give `run` a name."""
        if self.tree.has(run) and name != self.tree.name_of(run):
            self._become(self.tree.named(run, name))

    def prune(self, run: Run) -> None:
        """Take `run` away with all that part from it; what it parted from is on screen then."""
        gone = self.tree.below(run)
        left = tuple(each for each in self.tree.runs if not any(each is other for other in gone))
        current = self.tree.current
        if any(current is each for each in gone):
            current = self.tree.parent_of(run) or (left[-1] if left else None)
        self._become(replace(self.tree, runs=left, current=current))

    def undo(self) -> None:
        """Back to the tree before the last change."""
        if self._undo:
            self._redo.append(self.tree)
            self.tree = self._undo.pop()
            self.changed()

    def redo(self) -> None:
        """Forth again."""
        if self._redo:
            self._undo.append(self.tree)
            self.tree = self._redo.pop()
            self.changed()

    @property
    def can_undo(self) -> bool:
        """Whether there is a tree to go back to."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return bool(self._redo)

    def forget(self) -> None:
        """Another model: only the text on screen stays, and nothing can be undone."""
        current = self.tree.current
        self.tree = Tree((current,) if current is not None else (), current)
        self._undo, self._redo = [], []

    def _become(self, tree: Tree) -> None:
        self._undo = [*self._undo, self.tree][-MOST_UNDOS:]
        self._redo = []
        self.tree = tree
        self.changed()

    @staticmethod
    def _without_oldest_leaf(runs: tuple[Run, ...], spared: Run) -> tuple[Run, ...]:
        parents = [each.parent for each in runs]
        leaf = next(each for each in runs if each is not spared and not any(each is parent for parent in parents))
        return tuple(each for each in runs if each is not leaf)
