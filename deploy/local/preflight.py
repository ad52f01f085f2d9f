"""What must hold before anything is started. Each check raises a StackError that says what to do; all are made, so that all is said at once."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deploy.local.broker import cluster_id_at
from deploy.local.errors import DiskFull, FolderNotWritable, SeveralProblems, StackError, Unreachable
from deploy.local.ports import check_free
from deploy.local.settings import StackSettings
from deploy.local.valkey import redis_answers
from services.runtime.setting_types import without_passwords

#: Free bytes wanted under the data folder. The topics' retention caps what the looped replay can
#: take; this much lets every capped log, table and jar grow to its limit with room to spare.
NEEDED_FREE_BYTES = 2 * 1024**3

#: Long enough for a broker on another continent, short enough for a person who mistyped.
ANSWER_SECONDS = 5.0


def check_all(settings: StackSettings) -> None:
    """All checks. Raises what one found, or SeveralProblems in the order in which a person can act on them."""
    problems = _problems(partial(check_folder, settings.home)) or _problems(partial(check_disk, settings.home))
    problems += _problems(*(partial(check_free, use) for use in settings.used_ports()), partial(check_kafka, settings), partial(check_redis, settings))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise SeveralProblems(problems)


def _problems(*checks: Callable[[], None]) -> list[StackError]:
    problems = []
    for check in checks:
        try:
            check()
        except StackError as error:
            problems.append(error)
    return problems


def check_folder(home: Path) -> None:
    """The data folder exists, or can be made, and can be written. Raises FolderNotWritable."""
    hint = "choose another folder with SIGNALBOX_HOME=<folder>, or change who may write there"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise FolderNotWritable(f"the data folder {home} cannot be written: {error}", hint) from error


def check_disk(home: Path, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> None:
    """There is room under the data folder. Raises DiskFull."""
    free = free_bytes(home)
    if free < NEEDED_FREE_BYTES:
        raise DiskFull(
            f"{_gib(free)} are free under {home}, {_gib(NEEDED_FREE_BYTES)} are needed",
            "make room, empty the data folder with `make reset`, or choose another with SIGNALBOX_HOME=<folder>",
        )


def check_kafka(settings: StackSettings) -> None:
    """The Kafka that was named answers; nothing to check for the embedded one. Raises Unreachable."""
    if settings.kafka is None:
        return
    try:
        cluster_id_at(settings.kafka, ANSWER_SECONDS)
    except Unreachable as error:
        raise Unreachable(
            f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka}: no Kafka broker answers there ({error.message})",
            "start that broker, correct the address, or unset the variable to use the embedded one",
        ) from error


def check_redis(settings: StackSettings) -> None:
    """The Redis that was named answers; nothing to check for the embedded one. Raises Unreachable."""
    if settings.redis is not None and not redis_answers(settings.redis, ANSWER_SECONDS):
        raise Unreachable(
            f"REDIS_URL={without_passwords(settings.redis)}: no Redis or Valkey answers there",
            "start that server, correct the address, or unset the variable to use the embedded one",
        )


def check_network(url: str = "https://repo.maven.apache.org/maven2/") -> None:
    """The place that Kafka's jars come from can be reached; needed once. Raises Unreachable."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ANSWER_SECONDS):
            pass
    except OSError as error:
        raise Unreachable(f"{url} cannot be reached: {error}", "a network is needed for the first start; behind a proxy set HTTPS_PROXY") from error


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
