"""Colours that can be read, icons that follow the scheme."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QIcon, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from llmlab.paths import resources
from llmlab.ui import theme

READABLE = 4.5  # WCAG 2 AA for ordinary text
TEXTS = ("text", "muted", "accent", "positive", "warning", "error", "cut_line")
GROUNDS = ("window", "base")


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_every_text_is_readable(colors: theme.Theme) -> None:
    for ground in GROUNDS:
        for text in TEXTS:
            assert theme.contrast(getattr(colors, text), getattr(colors, ground)) >= READABLE, (text, ground)
    for ground in ("raised", "accent_base", "info_base", "warning_base", "error_base"):
        assert theme.contrast(colors.text, getattr(colors, ground)) >= READABLE
        assert theme.contrast(colors.muted, getattr(colors, ground)) >= READABLE
    assert theme.contrast(colors.on_accent, colors.accent) >= READABLE
    assert theme.contrast(colors.on_action, colors.action) >= READABLE
    for bar in ("bar_kept", "bar_raw"):
        assert theme.contrast(getattr(colors, bar), colors.base) >= 3, "graphics need 3:1"
    assert min(theme.contrast(color, colors.base) for color in colors.series) >= 3


def test_the_contrast_of_black_and_white_is_21() -> None:
    assert theme.contrast(QColor("black"), QColor("white")) == pytest.approx(21)


def test_every_probability_is_readable_and_tells_itself_apart(scheme: str) -> None:
    shades = [theme.probability_color(p / 100) for p in range(101)]
    assert min(theme.contrast(*shade) for shade in shades) >= READABLE
    blues = [shade.background.blue() - shade.background.red() for shade in shades]
    assert blues[0] > blues[50] > blues[100], "from blue to yellow"
    assert theme.probability_color(-1) == shades[0]
    assert theme.probability_color(7) == shades[-1]


def test_the_palette_follows_the_scheme(qtbot: QtBot, qapp: QApplication, scheme: str) -> None:
    assert qapp.palette().window().color() == theme.current().window
    assert theme.current().dark == (scheme == "dark")
    other = "light" if scheme == "dark" else "dark"
    with qtbot.waitSignal(theme.changed):
        theme.set_scheme(other)
    assert qapp.palette().window().color() == theme.current().window


def test_a_color_that_someone_changes_stays_in_the_theme() -> None:
    theme.LIGHT.accent.setAlpha(1)
    assert theme.LIGHT.accent.alpha() == 255


def is_inked(image: QImage, ink: QColor) -> bool:
    """Whether all opaque pixels have the colour `ink`, but for rounding, and there are some."""
    pixels = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
    opaque = [color.getRgb() for color in pixels if color.alpha() == 255]
    return bool(opaque) and max(abs(a - b) for color in opaque for a, b in zip(color, ink.getRgb(), strict=True)) <= 2


@pytest.mark.parametrize("name", sorted(path.stem for path in (resources() / "icons").glob("*.svg")))
def test_icons_are_drawn_in_the_schemes_colour(scheme: str, name: str) -> None:
    image = theme.icon(name).pixmap(48, 48).toImage()
    assert is_inked(image, theme.current().text) == (name != "llmlab")
    if name != "llmlab":
        disabled = theme.icon(name).pixmap(48, 48, QIcon.Mode.Disabled).toImage()
        assert is_inked(disabled, theme.current().disabled)


def test_icons_are_sharp_on_fine_screens(scheme: str) -> None:
    pixmap = theme.icon("play").pixmap(QSize(24, 24), 2.0)
    assert (pixmap.width(), pixmap.devicePixelRatio()) == (48, 2.0)


def test_heat_goes_from_dark_blue_to_yellow() -> None:
    table = theme.heat_table()
    assert table.shape == (256, 3)
    assert table.dtype.name == "uint8"
    assert table[0].argmax() == 2
    assert table[-1].argmin() == 2


def test_the_monospaced_font_is_one(qapp: QApplication) -> None:
    metrics = QFontMetrics(theme.monospace())
    assert metrics.horizontalAdvance("iiii") == metrics.horizontalAdvance("MMMM")
    assert theme.monospace(2.0).pointSizeF() == pytest.approx(2 * theme.monospace().pointSizeF())


def test_set_scheme_tells_what_it_was_told(scheme: str) -> None:
    assert theme.scheme() == scheme
    theme.set_scheme("system")
    assert theme.scheme() == "system"
    hints = QApplication.styleHints().colorScheme()
    assert theme.current().dark == (hints == Qt.ColorScheme.Dark)
