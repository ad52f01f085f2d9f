"""Runs the benches, all or those named: `python -m tests.bench [path hub ...]`."""

from __future__ import annotations

import argparse
import importlib
import sys

from tests.bench.results import OUTPUT, Result, save, show

#: Modules of this package with a function `run() -> list[Result]`, in the order they run.
BENCHES = ("analysis_engine", "path", "hub", "latency", "edge", "tracing", "tracing_path", "jobs", "report", "news")


def main(arguments: list[str] | None = None) -> int:
    """Runs, prints, writes build/bench.json. A bench that finds a wrong result raises, and nothing is written."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which benches to run, of {', '.join(BENCHES)}; default all")
    names = parser.parse_args(arguments).names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    results: list[Result] = []
    for name in names:
        print(f"bench {name} ...", file=sys.stderr, flush=True)
        results += importlib.import_module(f"tests.bench.{name}").run()
    show(results)
    save(results)
    print(f"written to {OUTPUT}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
