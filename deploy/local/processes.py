"""The table of processes: what each one runs, when it counts as ready, and the order of start."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import envoy
from deploy.local.broker import EmbeddedBroker
from deploy.local.child import ReadyCheck
from deploy.local.errors import SettingError, StackError
from deploy.local.probes import http_problem
from deploy.local.settings import REPOSITORY, StackSettings
from deploy.local.valkey import EmbeddedValkey
from services.runtime.topics import DEFAULT_PARTITIONS

#: A Python process compiles nothing and reads its history in a few seconds; the first start on
#: a busy machine with a cold page cache was seen to take twenty.
READY_SECONDS = 60.0


def _no_preparation() -> None:
    """Most phases need nothing before them."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack."""

    name: str
    """As in logs, messages and `signalbox status`."""

    prepare: Callable[[], list[str]]
    """Makes what the process needs and returns its command; called before each start."""

    why_not_ready: ReadyCheck
    """None when the process does its work, otherwise the reason."""

    env: Mapping[str, str]
    """Its whole environment."""

    log_path: Path
    """Its standard output and error."""

    cwd: Path | None = None
    """Where it runs; None: where we run."""

    ready_seconds: float = READY_SECONDS
    """How long it may take to become ready."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Processes that are started together. The next phase begins when all of them are ready."""

    processes: list[Process]
    before: Callable[[], None] = field(default=_no_preparation)
    """Runs before the phase is started."""


def stack_phases(settings: StackSettings) -> list[Phase]:
    """The whole stack in its order of start; it is stopped in the reverse order."""
    env = settings.child_environment()
    python = [
        _python(settings, env, "prices", "services.prices"),
        _python(settings, env, "analysis", "services.analysis"),
        _python(settings, env, "gateway", "gateway"),
        _python(settings, env, "prices-worker", "services.prices.worker"),
        _python(settings, env, "analysis-worker", "services.analysis.worker"),
    ]
    # After those, because what a feed sends before everyone listens would be history, not movement.
    feeds = _python(settings, env, "feeds", "services.prices.feeds")
    work = [
        _python(settings, env, "reports", "services.reports"),
        _python(settings, env, "reports-worker", "services.reports.worker"),
        _python(settings, env, "news", "services.news"),
        _python(settings, env, "news-worker", "services.news.worker"),
        _python(settings, env, "prices-jobs", "services.prices.jobs"),
        _python(settings, env, "analysis-jobs", "services.analysis.jobs"),
    ]
    # Last, because what is due at once would wait for those that do it.
    scheduler = _python(settings, env, "scheduler", "services.reports.scheduler")
    return [
        Phase(embedded_servers(settings)),
        Phase([*python, _envoy(settings, env)], before=lambda: create_topics(settings)),
        Phase([feeds, *work]),
        Phase([scheduler]),
    ]


def create_topics(settings: StackSettings) -> None:
    """Create the topics of the registry that are missing. Raises StackError when they cannot be had."""
    from confluent_kafka import KafkaException

    from services.runtime.kafka_admin import PartitionMismatch, ensure_topics

    try:
        ensure_topics(settings.bootstrap, partitions())
    except PartitionMismatch as error:
        raise StackError(str(error)) from error
    except KafkaException as error:
        raise StackError(f"the topics could not be created at {settings.bootstrap}: {error}") from error


def partitions(env: Mapping[str, str] | None = None) -> int:
    """Partitions of the market topics, SIGNALBOX_PARTITIONS. Raises SettingError."""
    text = (os.environ if env is None else env).get("SIGNALBOX_PARTITIONS") or str(DEFAULT_PARTITIONS)
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise SettingError(f"SIGNALBOX_PARTITIONS: was {text!r}; expected: a number from 1 to 1024")
    return int(text)


def embedded_servers(settings: StackSettings) -> list[Process]:
    """Kafka and Valkey, unless a setting names others."""
    servers = []
    if settings.kafka is None:
        broker = EmbeddedBroker(settings.home, settings.ports["kafka"], settings.ports["kafka_controller"], lasting=True)
        log = settings.logs / "kafka.log"
        servers.append(Process("kafka", broker.prepare, broker.why_not_ready, broker.environment(), log))
    if settings.redis is None:
        valkey = EmbeddedValkey(settings.home, settings.ports["valkey"])
        log = settings.logs / "valkey.log"
        servers.append(Process("valkey", valkey.prepare, valkey.why_not_ready, dict(os.environ), log))
    return servers


def _python(settings: StackSettings, env: Mapping[str, str], name: str, module: str) -> Process:
    port = settings.ports[f"{name.replace('-', '_')}_metrics"]
    return Process(
        name,
        prepare=lambda: [sys.executable, "-m", module],
        why_not_ready=lambda: http_problem(f"http://{settings.asked_host}:{port}/readyz"),
        env=env,
        log_path=settings.logs / f"{name}.log",
        cwd=REPOSITORY,
    )


def _envoy(settings: StackSettings, env: Mapping[str, str]) -> Process:
    admin = settings.ports["envoy_admin"]
    return Process(
        "envoy",
        prepare=lambda: envoy.prepare(settings, env),
        why_not_ready=lambda: http_problem(f"http://127.0.0.1:{admin}/ready"),
        env=env,
        log_path=settings.logs / "envoy.log",
    )
