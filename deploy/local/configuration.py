"""All settings of all processes, read before anything is started, so that every mistake is told at once."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from deploy.local import protos
from deploy.local.errors import SettingError, StackError
from deploy.local.settings import PORTS, REPOSITORY, SET_FOR_PROCESSES
from services.runtime.setting_types import without_passwords
from services.runtime.settings import env_name, settings_problems

#: What each process reads from its environment, by title. Light to import: no compiled kernels, no Faust.
SETTINGS: tuple[tuple[str, str], ...] = (
    ("Every process", "services.runtime.settings:RuntimeSettings"),
    ("Stream workers", "services.runtime.stream.settings:StreamWorkerSettings"),
    ("prices", "services.prices.settings:PricesSettings"),
    ("prices-worker", "services.prices.worker_settings:PricesWorkerSettings"),
    ("feeds", "services.prices.feeds.settings:FeedsSettings"),
    ("analysis", "services.analysis.settings:AnalysisSettings"),
    ("analysis-worker", "services.analysis.settings:AnalysisWorkerSettings"),
    ("Workers of jobs", "services.runtime.job_queue.settings:JobWorkerSettings"),
    ("news", "services.news.settings:NewsSettings"),
    ("news-worker", "services.news.worker_settings:NewsWorkerSettings"),
    ("reports", "services.reports.settings:ReportsSettings"),
    ("reports-worker", "services.reports.settings:ReportsWorkerSettings"),
    ("Daily report", "services.reports.daily.settings:DailyReportSettings"),
    ("scheduler", "services.reports.schedule.settings:SchedulerSettings"),
    ("prices-jobs", "services.prices.jobs.settings:PricesJobsSettings"),
    ("analysis-jobs", "services.analysis.jobs.settings:AnalysisJobsSettings"),
    ("gateway", "gateway.settings:GatewaySettings"),
    ("Envoy", "gateway.edge.settings:EdgeSettings"),
)

#: Variables that only the commands read: name, default, meaning.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("RUN_SECONDS", "none", "Seconds after which `make run` ends by itself with a summary; without it, it stays until Ctrl-C."),
    ("SIGNALBOX_JARS_DIR", "`jars` in the data folder", "Where Kafka's jars are kept; several clones can share one folder."),
    ("SIGNALBOX_DATA", "`../shared/data`", "The data sets of `make test-data`."),
)

_PREFIX = "SIGNALBOX_"

FirstT = TypeVar("FirstT")
SecondT = TypeVar("SecondT")


def load_class(path: str) -> type[BaseSettings]:
    """A class of SETTINGS."""
    module, _, name = path.partition(":")
    loaded: type[BaseSettings] = getattr(importlib.import_module(module), name)
    return loaded


def checked(first: Callable[[], FirstT], second: Callable[[], SecondT]) -> tuple[FirstT, SecondT]:
    """What the two readers of settings give, when all processes can use theirs too. Raises SettingError naming every wrong one, each once."""
    problems: dict[str, str] = {}
    results = _read(first, problems), _read(second, problems)
    for line in _problems_of_processes():
        problems.setdefault(_name(line), line)
    if problems or results[0] is None or results[1] is None:
        raise SettingError(*problems.values())
    return results[0][0], results[1][0]


def _problems_of_processes() -> list[str]:
    """In a process of its own: what settings name is loaded too, and that may be anybody's module."""
    # The kinds of jobs are made of stubs, which a fresh clone has not yet.
    protos.generate()
    command = [sys.executable, "-m", "deploy.local.configuration"]
    done = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"the settings could not be checked:\n{without_passwords(done.stderr.strip()[-2000:])}")
    problems: list[str] = json.loads(done.stdout)
    return problems


def main() -> None:
    """Writes what is wrong with the settings of all processes as a JSON list to stdout."""
    # What is loaded may print.
    with contextlib.redirect_stdout(sys.stderr):
        # The first two classes are within the others.
        problems = unknown_variables(os.environ)
        problems += [line for _title, path in SETTINGS[2:] for line in _problems_of(load_class(path))]
    json.dump(problems, sys.stdout)


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """A line for each variable that looks like ours and that nobody reads: it may be misspelt. Empty ones are as good as not set."""
    known = known_variables()
    unknown = sorted(name for name, value in env.items() if value and name.startswith(_PREFIX) and name not in known)
    # Without the value, which may be a misspelt setting's secret.
    return [f"{name}: is no setting; {_nearest(name, known)}" for name in unknown]


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), [each.removeprefix(_PREFIX) for each in sorted(known)], n=1)
    return f"did you mean {_PREFIX}{near[0]}?" if near else "docs/settings.md lists all"


def known_variables() -> set[str]:
    """Every variable that a process, a command or a test reads, or that the stack sets for its processes."""
    classes = [load_class(path) for _title, path in SETTINGS]
    ours = {env_name(cls, name) for cls in classes for name in cls.model_fields}
    return ours | {port.setting for port in PORTS.values()} | {name for name, _default, _what in COMMANDS} | SET_FOR_PROCESSES


def _read(reader: Callable[[], FirstT], problems: dict[str, str]) -> tuple[FirstT] | None:
    try:
        return (reader(),)
    except SettingError as error:
        for line in error.problems:
            problems.setdefault(_name(line), line)
        return None


def _problems_of(cls: type[BaseSettings]) -> list[str]:
    try:
        cls()
    except ValidationError as error:
        return settings_problems(cls, error)
    return []


def _name(line: str) -> str:
    return line.partition(":")[0]


if __name__ == "__main__":
    main()
