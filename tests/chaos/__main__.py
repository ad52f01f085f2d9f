"""The long run: `make chaos`. Every fault, many times, in random order, under one load; prints a table and writes build/chaos.json."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.results import machine
from tests.chaos.chain import KINDS, Chain, Verdict, seed_of
from tests.chaos.faults import Outcome, all_faults
from tests.servers import REPOSITORY

OUTPUT = REPOSITORY / "build" / "chaos.json"
#: What a recovery should stay below, seconds. Said and not enforced: a machine that does other work takes longer.
AIM_SECONDS = 10.0
#: How often each fault is done in a full run; the rest twice each.
COUNTS = {
    "kill -9 prices-worker": 50,
    "kill -9 analysis-worker": 50,
    "kill -9 broker, restart (from its return)": 10,
    "kill -9 broker and both workers (from its return)": 3,
    "SIGTERM rolling restart": 5,
}


def plan(share: float, rng: random.Random, only: str = "") -> list[str]:
    """Names of faults in random order. share: of a full run, each at least once. only: part of the names wanted."""
    names = [name for name in all_faults() if only in name for _ in range(max(1, round(COUNTS.get(name, 2) * share)))]
    rng.shuffle(names)
    return names


def run(home: Path, seed: int, names: Sequence[str], env: dict[str, str] | None = None) -> tuple[list[Outcome], Verdict]:
    """Does the faults one after the other. Raises AssertionError when a row is lost, different or too many, or a commit was ahead."""
    rng, faults, outcomes = random.Random(seed), all_faults(), list[Outcome]()
    with Chain(home, seed, env=env) as chain:
        for kind in KINDS:
            chain.start(kind)
        for kind in KINDS:
            chain.recovery(kind, chain.started)
        for number, name in enumerate(names, 1):
            outcomes.append(Outcome(name, faults[name](chain, rng)))
            print(f"{number}/{len(names)} {name}: {outcomes[-1].seconds:.1f} s", file=sys.stderr, flush=True)
        return outcomes, chain.settle()


def table_of(outcomes: Sequence[Outcome]) -> list[dict[str, float | int | str]]:
    """One line for each fault."""
    by_fault: dict[str, list[float]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.fault, []).append(outcome.seconds)
    return [
        {"fault": fault, "count": len(seconds), "recovery_p50_s": round(statistics.median(seconds), 2), "recovery_max_s": round(max(seconds), 2)}
        for fault, seconds in sorted(by_fault.items())
    ]


def report(outcomes: Sequence[Outcome], verdict: Verdict, seed: int, minutes: float) -> None:
    """Prints the table and writes the file. minutes: the whole run."""
    lines = table_of(outcomes)
    table = Table("fault", "count", "recovery p50, s", "max, s")
    for line in lines:
        table.add_row(*(str(value) for value in line.values()))
    console = Console(width=140)
    console.print(table)
    rows = ", ".join(f"{count:,} of {topic}" for topic, count in verdict.rows.items())
    console.print(f"{verdict.ticks:,} ticks; rows compared, all equal: {rows}; repeated, each time the same: {verdict.repeats:,}")
    console.print(f"committed offsets compared with checkpoints, none ahead: {verdict.commits_checked:,}; seed {seed}")
    slow = [f"{outcome.fault} {outcome.seconds:.1f} s" for outcome in outcomes if outcome.seconds >= AIM_SECONDS]
    kills = sum("kill -9" in outcome.fault for outcome in outcomes)
    console.print(f"{len(outcomes)} faults, {kills} of them by kill -9, in {minutes:.1f} minutes; recoveries of {AIM_SECONDS:g} s or more: {slow or 'none'}")
    console.print(f"workers that ended by themselves and were started again: {verdict.ended_alone or 'none'}")
    OUTPUT.parent.mkdir(exist_ok=True)
    figures = {"machine": machine(), "seed": seed, "minutes": round(minutes, 1), "kills": kills, "slow_recoveries": slow, "faults": lines, **asdict(verdict)}
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Exit code 1 with a traceback when anything was not as it must be; the processes' logs are then kept."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--share", type=float, default=1.0, help="of a full run: 0.1 does a tenth of each fault, at least one")
    parser.add_argument("--seed", help="that of a run to repeat; the plan and the load are then the same")
    parser.add_argument("--only", default="", help="only faults with this in their names")
    arguments = parser.parse_args()
    seed = seed_of(arguments.seed)
    home = Path(tempfile.mkdtemp(prefix="signalbox-chaos-"))
    print(f"logs in {home}", file=sys.stderr)
    began = time.monotonic()
    outcomes, verdict = run(home, seed, plan(arguments.share, random.Random(seed), arguments.only))
    report(outcomes, verdict, seed, (time.monotonic() - began) / 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
