"""All settings of all processes, read before anything is started, so that every mistake is told at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from deploy.local.errors import SettingError
from services.runtime.settings import settings_problems

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
    # The first two classes are within the others.
    results = _read(first, problems), _read(second, problems)
    for line in (line for _title, path in SETTINGS[2:] for line in _problems_of(load_class(path))):
        problems.setdefault(_name(line), line)
    if problems or results[0] is None or results[1] is None:
        raise SettingError(*problems.values())
    return results[0][0], results[1][0]


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
