"""What a scheme does to a text: predictions that change, and completions that part."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from llmlab.engine.quantization.types import Measured, TextDamage, Written
from llmlab.ui import theme
from llmlab.ui.panels.memory.quantization.figures import small
from llmlab.ui.widgets.card import Card
from llmlab.ui.widgets.joined import Joined
from llmlab.ui.widgets.parts import ElidedLabel, ShadeLegend, heading, row
from llmlab.ui.widgets.states import StateView
from llmlab.ui.widgets.stream import Piece, StreamedTokens
from llmlab.ui.widgets.strip import TokenStrip
from llmlab.ui.widgets.strip_text import StripText
from llmlab.ui.widgets.tokentext import NOTHING, visible

STRONGEST = 0.75  # of the colour, at the largest divergence
FAINTEST_END = 1e-3  # nats: smaller differences are not blown up to full colour
LEGEND = "The darker a token, the more the distribution that predicts it has changed"


class DamagedText(QWidget):
    """The text, each predicted token on a colour that tells how much its prediction changes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._damage: TextDamage | None = None
        self._end = 1.0
        self._hint = ""
        self.caption, self.legend = ElidedLabel(), ShadeLegend(tooltip=LEGEND)
        self.strip = TokenStrip(self._card)
        self.strip.copy_asked.connect(self._copy)
        self.state = StateView()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(row((self.caption, self.legend), stretch=self.caption))
        layout.addWidget(self.strip, stretch=1)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(content)
        self._stack.addWidget(self.state)

    def set_hint(self, hint: str) -> None:
        """What to do to see something here."""
        if hint != self._hint:
            self._hint = hint
            if self._damage is None:
                self.state.show_empty("Not measured yet", hint)

    def show_damage(self, measured: Measured | None, problem: str) -> None:
        """The text under a scheme, or why there is none."""
        self._damage = damage = measured.text if measured else None
        self._stack.setCurrentIndex(0 if damage else 1)
        if damage is None:
            _say(self.state, problem, self._hint)
            self.strip.set_source(None)
            return
        assert measured is not None
        self._end = max(FAINTEST_END, float(damage.divergence.max()))
        self.legend.show_scale("KL", "0", f"{small(self._end)} nats", color_of)
        self.caption.setText(
            f"{measured.scheme.name}: {damage.how}. Largest KL {small(float(damage.divergence.max()))} nats"
            + (f"; {damage.windows} windows of {damage.window:,} tokens, each read anew" if damage.windows > 1 else "")
            + "."
        )
        tokens = (*damage.before, *damage.tokens)
        source = StripText.of(Joined.of(tokens), lambda i: tokens[i] or NOTHING, lambda i: not tokens[i])
        self.strip.set_source(source)
        self.strip.set_colors(self._color)

    def _color(self, token: int) -> QColor:
        assert self._damage is not None
        place = token - len(self._damage.before)
        if place < 0:
            return theme.current().raised
        return color_of(float(self._damage.divergence[place]) / self._end)

    def _card(self, token: int) -> Card | None:
        damage = self._damage
        if damage is None:
            return None
        place = token - len(damage.before)
        if place < 0:
            return Card(f"“{visible(damage.before[token])}”", (("", "the first token: nothing predicts it"),))
        own, after = float(damage.log_probabilities[place]), float(damage.log_probabilities_after[place])
        return Card(
            f"“{visible(damage.tokens[place])}”",
            (
                ("KL divergence", f"{damage.divergence[place]:.6g} nats"),
                ("log-probability", f"{own:.4f} → {after:.4f}"),
                ("most probable", f"“{visible(damage.best[place])}” → “{visible(damage.best_after[place])}”"),
            ),
            footer="" if damage.agrees[place] else "The most probable token changes.",
        )

    @Slot()
    def _copy(self) -> None:
        if self._damage is not None:
            low, high = self.strip.selection
            tokens = (*self._damage.before, *self._damage.tokens)
            QGuiApplication.clipboard().setText("".join(tokens[low : high + 1] if low >= 0 else tokens))


class CompletionsPane(QWidget):
    """The greedy texts of both, side by side, a line where they part."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measured: Measured | None = None
        self._hint = ""
        self.caption = ElidedLabel()
        self.sides = [_Side(0, self), _Side(1, self)]
        self.state = StateView()
        content, both = QWidget(), QHBoxLayout()
        both.setSpacing(theme.SPACE)
        for side in self.sides:
            both.addWidget(side, stretch=1)
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 2)
        layout.addWidget(self.caption)
        layout.addLayout(both, stretch=1)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(content)
        self._stack.addWidget(self.state)

    def set_hint(self, hint: str) -> None:
        """What to do to see something here."""
        if hint != self._hint:
            self._hint = hint
            if self._measured is None:
                self.state.show_empty("Not measured yet", hint)

    def show_completions(self, measured: Measured | None, problem: str) -> None:
        """The texts under a scheme, or why there are none."""
        self._measured = measured
        texts = measured.side_by_side if measured else None
        self._stack.setCurrentIndex(0 if texts else 1)
        if measured is None:
            _say(self.state, problem, self._hint)
        elif texts is None:
            self.state.show_empty("This model fills masks", "It writes no texts that could be compared.")
        else:
            place = texts.first_difference
            parted = "both are the same" if place is None else f"they part at token {place + 1}"
            self.caption.setText(f"Greedy texts, {parted}, after “{texts.prompt}”")
            self.caption.setToolTip(texts.prompt)
            mark = -1 if place is None else place
            self.sides[0].show_text("Model in use", texts.reference, mark, texts.per_second)
            self.sides[1].show_text(measured.scheme.name, texts.candidate, mark, texts.per_second_after)

    def card(self, side: int, token: int) -> Card | None:
        """What is known of a token."""
        texts = self._measured.side_by_side if self._measured else None
        if texts is None:
            return None
        written = (texts.reference, texts.candidate)[side]
        place = texts.first_difference
        words = "the texts are the same here" if place is None or token < place else "after the texts have parted"
        title = f"“{visible(written.names[token])}”"
        return Card(title, (("token", str(token + 1)), ("", "the first that differs" if token == place else words)))


class _Side(QWidget):
    """One of the two texts."""

    def __init__(self, number: int, pane: CompletionsPane) -> None:
        super().__init__()
        self.title, self.fact = heading(""), ElidedLabel()
        self.text = StreamedTokens(lambda token: pane.card(number, token))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE // 4)
        layout.addWidget(row((self.title, self.fact), stretch=self.fact))
        layout.addWidget(self.text, stretch=1)

    def show_text(self, title: str, written: Written, mark: int, per_second: float | None) -> None:
        """A text, with a line before token `mark`."""
        self.title.setText(title)
        self.text.setAccessibleName(f"Completion of {title}")
        speed = f" · {per_second:.0f} tokens/s" if per_second is not None else ""
        self.fact.setText(f"  {len(written.ids)} tokens{speed} · ended by {written.finish_reason}")
        self.text.clear()
        self.text.append([Piece(text, name=name) for text, name in zip(written.pieces, written.names, strict=True)])
        self.text.set_mark(mark)
        self.text.verticalScrollBar().setValue(0)


def color_of(share: float) -> QColor:
    """From the background at 0 to the colour of what has changed at 1; text is readable on all."""
    colors = theme.current()
    strong = colors.probability[-1] if colors.dark else colors.token[1]
    warm = theme.mix(strong, colors.cut_line, 0.35)
    return theme.mix(colors.base, warm, min(1.0, max(0.0, share)) * STRONGEST + (0.04 if share > 0 else 0.0))


def _say(state: StateView, problem: str, hint: str) -> None:
    if problem:
        state.show_error("This scheme could not be measured", problem)
    else:
        state.show_empty("Not measured yet", hint)
