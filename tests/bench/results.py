"""A figure with its reference, the table that is printed and the file that is left behind."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.servers import REPOSITORY

OUTPUT = REPOSITORY / "build" / "bench.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure."""

    name: str
    """Stable and dotted, for instance path.ticks_per_s."""
    value: float
    """What was measured."""
    unit: str
    """Of the value and of the reference's."""
    reference: str = ""
    """What it is compared with, measured in the same run; empty when there is nothing to compare with."""
    reference_value: float | None = None
    """The reference's figure."""
    higher_is_better: bool = True
    """Which way is good."""

    @property
    def ratio(self) -> float | None:
        """Value by reference value."""
        return self.value / self.reference_value if self.reference_value else None


def machine() -> dict[str, object]:
    """The machine that the figures are of."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "processor": _processor(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def save(results: Sequence[Result], path: Path = OUTPUT) -> None:
    """Writes the file, with the figures of this run only."""
    rows = [asdict(result) | {"ratio": result.ratio} for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": rows}, indent=2) + "\n", encoding="utf-8")


def show(results: Sequence[Result], console: Console | None = None) -> None:
    """Prints the table."""
    table = Table("figure", "value", "unit", "reference", "its value", "ratio")
    table.columns[0].no_wrap = True
    for result in results:
        reference = "" if result.reference_value is None else f"{result.reference_value:,.4g}"
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        table.add_row(result.name, f"{result.value:,.4g}", result.unit, result.reference, reference, ratio)
    (console or Console(width=150)).print(table)
