"""What the bundled program starts with."""

from __future__ import annotations

import multiprocessing
import os
import sys

from llmlab.__main__ import main

# The bundle's loader sets this for the bundle's own libraries, and has kept what was there. The dynamic linker has read
# it by now; programs that the lab starts must not find our libraries instead of theirs. Its own children do need it:
# the second variable has the loader set it again for them.
former = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
if former is not None:
    os.environ["LD_LIBRARY_PATH"] = former
else:
    os.environ.pop("LD_LIBRARY_PATH", None)
os.environ["PYINSTALLER_RESET_ENVIRONMENT"] = "1"

multiprocessing.freeze_support()  # should a library start a worker, it gets one, and not a second window
sys.exit(main())
