"""The one place for colours, icons, fonts and spacing. Fusion style, following the system's light or dark scheme.

Ask `current()` for colours at the moment of painting and nothing needs to be told when the scheme changes; widgets
that keep a colour (a character format, a rich text) listen to `changed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PySide6.QtCore import QByteArray, QObject, QRect, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QIconEngine, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QToolTip

from llmlab.paths import resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACE = 8  # the spacing unit in logical pixels: gaps are SPACE, groups 2 × SPACE apart, hairlines SPACE // 2
MONOSPACE = ("Cascadia Mono", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "Liberation Mono", "monospace")
SHADES = 64  # levels of probability colour; the eye tells fewer apart

Scheme = Literal["light", "dark", "system"]


class Shade(NamedTuple):
    """A background with the text colour that is readable on it (WCAG contrast ≥ 4.5)."""

    background: QColor
    text: QColor


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one scheme."""

    dark: bool
    window: QColor  # behind controls
    base: QColor  # behind pictures and text
    raised: QColor  # buttons, alternate rows, hovered rows
    border: QColor  # hairlines
    text: QColor
    muted: QColor  # secondary text, still contrast ≥ 4.5 on window and base
    disabled: QColor  # text of what cannot be used now
    accent: QColor  # focus, selection, links, the main button
    on_accent: QColor  # text on accent
    action: QColor  # the main button
    on_action: QColor  # text on it
    accent_base: QColor  # a selected row: text stays readable on it
    positive: QColor
    warning: QColor
    error: QColor
    info_base: QColor  # banner backgrounds; text is readable on each
    warning_base: QColor
    error_base: QColor
    bar_kept: QColor  # probability after the settings
    bar_raw: QColor  # outline of the raw probability
    bar_cut: QColor  # raw probability of a token that a setting removed
    cut_line: QColor  # between kept and cut
    probability: tuple[QColor, ...]  # anchors, evenly spaced from p = 0 to p = 1; `text` is readable on all
    token_special: QColor  # names of special tokens, and the frame of tokens that share a character
    token_space: QColor  # marks of what is invisible
    token: tuple[QColor, ...]  # backgrounds of neighbouring tokens, in turn; `text` is readable on all
    kind: tuple[QColor, ...]  # backgrounds by a token's kind: normal, special, added, bytes, unknown, continuation
    series: tuple[QColor, ...]  # lines that are compared in one picture, such as heads; contrast ≥ 3 on base

    def __getattribute__(self, name: str) -> Any:
        """A copy of the colour: QColor can be changed in place, and a theme must not."""
        value = object.__getattribute__(self, name)
        return QColor(value) if type(value) is QColor else value


def _colors(*codes: str) -> tuple[QColor, ...]:
    return tuple(QColor(code) for code in codes)


# The probability anchors are cividis' hues (blue to yellow, safe for all common colour blindness), pulled towards
# each scheme's base until ordinary text is readable on every one of them.
LIGHT = Theme(
    dark=False,
    window=QColor("#f3f4f7"),
    base=QColor("#ffffff"),
    raised=QColor("#e9ecf1"),
    border=QColor("#cfd5dd"),
    text=QColor("#1a1e24"),
    muted=QColor("#58626f"),
    disabled=QColor("#9aa3ae"),
    accent=QColor("#2456c7"),
    on_accent=QColor("#ffffff"),
    action=QColor("#2456c7"),
    on_action=QColor("#ffffff"),
    accent_base=QColor("#dbe6fd"),
    positive=QColor("#17713f"),
    warning=QColor("#855200"),
    error=QColor("#b3261e"),
    info_base=QColor("#e5eefc"),
    warning_base=QColor("#fdf1d3"),
    error_base=QColor("#fce6e4"),
    bar_kept=QColor("#3d74e0"),
    bar_raw=QColor("#7b8694"),
    bar_cut=QColor("#c6ccd5"),
    cut_line=QColor("#c2410c"),
    probability=_colors("#8fa6d6", "#a3b1cd", "#bcc0c3", "#d8d3ab", "#f0e28f", "#fdee9f"),
    token_special=QColor("#7a3fb0"),
    token_space=QColor("#8d97a5"),
    token=_colors("#cfe0fb", "#fbe3bd", "#cdebd7", "#f6d3e0", "#dfd6f7", "#c8e9ee"),
    kind=_colors("#dde6f3", "#e3d0f7", "#f9d9ec", "#fbe3bd", "#f9cdc8", "#cdebd7"),
    series=_colors("#2f6fd6", "#c05a00", "#0c8a63", "#b0418a", "#1a8fb5", "#6d4fc4", "#8a6116", "#4a535f", "#5f8a00"),
)
DARK = Theme(
    dark=True,
    window=QColor("#1d2026"),
    base=QColor("#15181c"),
    raised=QColor("#292e36"),
    border=QColor("#3a414b"),
    text=QColor("#e7eaee"),
    muted=QColor("#9ba5b1"),
    disabled=QColor("#66707c"),
    accent=QColor("#7ba4ff"),
    on_accent=QColor("#0b1430"),
    action=QColor("#3767cf"),
    on_action=QColor("#ffffff"),
    accent_base=QColor("#22345c"),
    positive=QColor("#5fd095"),
    warning=QColor("#e8b655"),
    error=QColor("#ff9086"),
    info_base=QColor("#1d2b45"),
    warning_base=QColor("#3a2f14"),
    error_base=QColor("#44211f"),
    bar_kept=QColor("#5b8ff5"),
    bar_raw=QColor("#8893a1"),
    bar_cut=QColor("#434b56"),
    cut_line=QColor("#fb923c"),
    probability=_colors("#1d3f86", "#344a78", "#474f65", "#555551", "#645c37", "#6f6422"),
    token_special=QColor("#c79bf2"),
    token_space=QColor("#7d8896"),
    token=_colors("#27457c", "#5d4517", "#1f5135", "#652f4a", "#453a7a", "#1b4f59"),
    kind=_colors("#2c3a50", "#4b2f6d", "#682c50", "#5d4517", "#6e2b26", "#1f5135"),
    series=_colors("#6ba2ff", "#f4a04e", "#46d3a3", "#f089c7", "#72d2f2", "#b59cff", "#d9b06a", "#cdd4dd", "#a9cc4e"),
)


class _Notifier(QObject):
    changed = Signal()

    @Slot()
    def refresh(self) -> None:
        """The system has changed its scheme."""
        _refresh()


_notifier = _Notifier()
changed = _notifier.changed  # emitted after the scheme has changed and the palette is set
_scheme: Scheme = "system"
_on_paper = False


def current() -> Theme:
    """The colours in force."""
    if _on_paper:
        return LIGHT
    if _scheme != "system":
        return DARK if _scheme == "dark" else LIGHT
    hints = QGuiApplication.styleHints()
    return DARK if hints.colorScheme() == Qt.ColorScheme.Dark else LIGHT


@contextmanager
def on_paper() -> Iterator[None]:
    """What is drawn meanwhile has the light scheme's colours, whichever is in force: it will be read on white."""
    global _on_paper  # noqa: PLW0603 - one application, one scheme
    before, _on_paper = _on_paper, True
    try:
        yield
    finally:
        _on_paper = before


def apply(app: QApplication) -> None:
    """Give `app` its style, palette and window icon, and keep them in step with the system's scheme."""
    app.setStyle("Fusion")
    app.setWindowIcon(icon("llmlab"))
    app.styleHints().colorSchemeChanged.connect(_notifier.refresh, Qt.ConnectionType.UniqueConnection)
    _refresh()


def set_scheme(scheme: Scheme) -> None:
    """Force light or dark, or follow the system again."""
    global _scheme  # noqa: PLW0603 - one application, one scheme
    _scheme = scheme
    wanted = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark, "system": Qt.ColorScheme.Unknown}
    QGuiApplication.styleHints().setColorScheme(wanted[scheme])  # title bars and file dialogs follow this
    _refresh()


def scheme() -> Scheme:
    """What `set_scheme` was last told."""
    return _scheme


def _refresh() -> None:
    palette = build_palette(current())
    if palette != QApplication.palette():
        QApplication.setPalette(palette)
        QToolTip.setPalette(palette)
    changed.emit()


def build_palette(theme: Theme) -> QPalette:
    """Qt's colour roles in the colours of `theme`."""
    role = QPalette.ColorRole
    roles = {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.base,
        role.AlternateBase: theme.raised,
        role.ToolTipBase: theme.raised,
        role.ToolTipText: theme.text,
        role.PlaceholderText: theme.muted,
        role.Text: theme.text,
        role.Button: theme.raised,
        role.ButtonText: theme.text,
        role.BrightText: theme.error,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.on_accent,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.accent,
        role.Light: mix(theme.raised, theme.base, 0.5),
        role.Midlight: mix(theme.raised, theme.border, 0.4),
        role.Mid: theme.border,
        role.Dark: mix(theme.border, theme.text, 0.25),
        role.Shadow: QColor("#000000"),
    }
    palette = QPalette()
    for color_role, color in roles.items():
        palette.setColor(color_role, color)
    for color_role in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, color_role, theme.disabled)
    palette.setColor(QPalette.ColorGroup.Disabled, role.Base, theme.window)
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, theme.border)
    palette.setColor(QPalette.ColorGroup.Disabled, role.Accent, theme.border)
    return palette


def mix(first: QColor, second: QColor, share: float) -> QColor:
    """`first` with `share` (0…1) of `second`, in sRGB."""
    pairs = zip(channels(first), channels(second), strict=True)
    return QColor(*(round(a + (b - a) * share) for a, b in pairs))


def channels(color: QColor) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255; what `getRgb` returns has no type that can be indexed."""
    return color.red(), color.green(), color.blue()


def contrast(first: QColor, second: QColor) -> float:
    """WCAG 2 contrast ratio of two opaque colours, 1 to 21."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: QColor) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    channels = (color.redF(), color.greenF(), color.blueF())
    linear = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in channels)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def probability_color(p: float) -> Shade:
    """The background for a token of probability `p` (0…1), and the text colour to write on it."""
    return probability_shades()[probability_level(p)]


def probability_level(p: float) -> int:
    """Which of the shades stands for `p`."""
    return round(min(max(p, 0.0), 1.0) * (SHADES - 1))


def probability_shades() -> tuple[Shade, ...]:
    """The shades of the scheme in force, from p = 0 to p = 1; for painting many tokens at once."""
    return _shades(current().dark)


@cache
def _shades(dark: bool) -> tuple[Shade, ...]:
    theme = DARK if dark else LIGHT
    anchors, last = theme.probability, len(theme.probability) - 1
    shades = []
    for level in range(SHADES):
        position = level / (SHADES - 1) * last
        left = min(int(position), last - 1)
        shades.append(Shade(mix(anchors[left], anchors[left + 1], position - left), theme.text))
    return tuple(shades)


# Cividis (Nuñez, Anderton and Renslow 2018, doi 10.1371/journal.pone.0199239) at the places where it bends: between
# them straight lines stay within 2 of 255. Made here because importing a plotting library takes the window 0.2 s.
_HEAT = (
    (0, "#00204d"), (19, "#002e6e"), (30, "#00356e"), (31, "#01366e"), (34, "#0f386e"), (39, "#1d3b6d"),
    (46, "#2a406c"), (60, "#3d4a6b"), (89, "#5a5f6d"), (131, "#807e79"), (148, "#908b79"), (169, "#a59c76"),
    (197, "#c3b46d"), (230, "#e8d259"), (247, "#fbe248"), (251, "#ffe642"), (255, "#ffea46"),
)  # fmt: skip


def heat_table() -> NDArray[np.uint8]:
    """The sequential map for heat, cividis: uint8 (256, 3), low to high; safe for common colour blindness."""
    places = [place for place, _ in _HEAT]
    anchors = np.array([channels(QColor(code)) for _, code in _HEAT])  # (anchors, 3)
    columns = [np.interp(np.arange(256), places, anchors[:, channel]) for channel in range(3)]
    table: NDArray[np.uint8] = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return table


@cache
def monospace_family() -> str:
    """The first of our fixed-width families that this system has."""
    from PySide6.QtGui import QFontDatabase

    installed = set(QFontDatabase.families())
    fallback = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()
    return next((family for family in MONOSPACE if family in installed), fallback)


def monospace(scale: float = 1.0) -> QFont:
    """The fixed-width font for tokens and numbers, `scale` times the application's size."""
    font = QFont(monospace_family())
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPointSizeF(QApplication.font().pointSizeF() * scale)
    return font


class _TintedIcon(QIconEngine):
    """Draws an SVG with `currentColor` in the theme's colour of the moment, sharp at every size and scale."""

    def __init__(self, svg: str, *, on_action: bool) -> None:
        super().__init__()
        self._svg = svg
        self._on_action = on_action
        self._renderers: dict[str, QSvgRenderer] = {}

    def clone(self) -> QIconEngine:
        return _TintedIcon(self._svg, on_action=self._on_action)

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        theme = current()
        color = {
            QIcon.Mode.Disabled: theme.disabled,
            QIcon.Mode.Selected: theme.on_accent,
        }.get(mode, theme.on_action if self._on_action else theme.text)
        self._renderer(color.name()).render(painter, QRectF(rect))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(0, 0, size.width(), size.height()), mode, state)
        painter.end()
        return pixmap

    def _renderer(self, color: str) -> QSvgRenderer:
        if color not in self._renderers:
            data = self._svg.replace("currentColor", color).encode()
            self._renderers[color] = QSvgRenderer(QByteArray(data))
        return self._renderers[color]


@cache
def icon(name: str, *, on_action: bool = False) -> QIcon:
    """The icon resources/icons/`name`.svg, on the main button if so said.

    It takes the theme's colours each time it is drawn.
    """
    svg = (resources() / "icons" / f"{name}.svg").read_text("utf-8")
    return QIcon(_TintedIcon(svg, on_action=on_action))
