"""Compiles the numba kernels of a module into their on-disk cache, so that no process does it at its start.

Run as `python -m deploy.local.warm_up MODULE`, in a process of its own: numba's compiler takes
memory that the supervisor would keep.
"""

from __future__ import annotations

import importlib
import sys

#: What is compiled, and the module that does it by its function `warm_up()`.
KERNEL_MODULES = {"bar kernels": "services.prices.stream", "indicator kernels": "services.analysis.stream", "hub kernels": "gateway.hub.warm_up"}


def main() -> int:
    """Warm up the modules that were named, all when none was."""
    for name in sys.argv[1:] or KERNEL_MODULES.values():
        importlib.import_module(name).warm_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
