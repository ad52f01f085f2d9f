"""Compiled kernels, or the same functions as plain Python: SIGNALBOX_ENGINE=compiled|plain.

The plain ones are much slower and give the same bytes; they are there to be compared with, and to look for an error with a debugger.
Imported by the packages that have kernels before numba is, because numba looks at its own switch once, when it is imported.
"""

from __future__ import annotations

import os

VARIABLE = "SIGNALBOX_ENGINE"
#: Whether this process runs the plain ones.
PLAIN = os.environ.get(VARIABLE) == "plain"

if PLAIN:
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    import numpy as np

    # Sums of two limbs wrap on purpose.
    np.seterr(over="ignore")
