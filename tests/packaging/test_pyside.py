"""The installed PySide6 survives long use on the installed Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

# PySide6 6.12.0 on Python 3.11 loses a reference to None with each call that returns nothing.
SOAK = """
from PySide6.QtWidgets import QApplication, QLabel
application = QApplication([])
label = QLabel()
for count in range(20_000):
    label.setText(str(count))
print(label.text())
"""


@pytest.mark.slow
def test_twenty_thousand_calls_do_not_end_the_process() -> None:
    result = subprocess.run([sys.executable, "-c", SOAK], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "19999"), result.stderr
