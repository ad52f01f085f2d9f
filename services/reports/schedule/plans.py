"""The schedule's file: recurring jobs as they are written down, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from services.reports.schedule.times import Times, WrongTimes, times_of
from services.runtime.jobs import JobKind, Priority

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)\s*MiB")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Missed(StrEnum):
    """What happens to runs that nobody could start in time."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What happens when the run before still goes on."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_PREVIOUS = "cancel-previous"


class First(StrEnum):
    """When the first run of all is."""

    AT_ONCE = "at-once"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Plan:
    """One recurring job."""

    name: str
    kind: JobKind
    when: str
    """As it was written."""
    times: Times
    """Its planned times."""
    description: str = ""
    owner: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    """The job's request as JSON, with `{date}` in texts."""
    priority: Priority | None = None
    jitter_s: float = 0.0
    """A run starts so many seconds after its planned time at most."""
    missed: Missed = Missed.LATEST
    overlap: Overlap = Overlap.SKIP
    first: First = First.PLANNED
    keep_memory_bytes: int = 256 << 20
    """Resident memory that a run may leave in use, bytes."""

    def message(self, planned_ns: int) -> Message:
        """The request of the run planned for that time. Raises json_format.ParseError when it is not one of the kind's."""
        text = json.dumps(dict(self.request)).replace("{date}", self.times.date_of(planned_ns).isoformat())
        return json_format.Parse(text, self.kind.request())


class WrongSchedule(Exception):
    """What is wrong with a schedule's file, all of it."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__(f"{source}:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = tuple(problems)


def load_plans(path: Path | None, kinds: Mapping[str, JobKind]) -> tuple[Plan, ...]:
    """The plans of a file; None takes the one that comes with the product. Raises WrongSchedule."""
    source = str(path) if path else "schedule.yaml"
    try:
        file = path or resources.files("services.reports.schedule").joinpath("schedule.yaml")
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WrongSchedule(source, [f"expected a readable YAML file: {error}"]) from error
    return parse_plans(document, kinds, source)


def parse_plans(document: object, kinds: Mapping[str, JobKind], source: str = "schedule") -> tuple[Plan, ...]:
    """The plans of a parsed file. Raises WrongSchedule naming every mistake."""
    if not isinstance(document, list):
        raise WrongSchedule(source, [f"expected a list of jobs, was {type(document).__name__}"])
    readers = [_Reader(number, entry, kinds) for number, entry in enumerate(document, start=1)]
    plans = [reader.plan() for reader in readers]
    problems = [problem for reader in readers for problem in reader.problems]
    names = [plan.name for plan in plans if plan is not None]
    problems += [f"{name}: name: expected each name once" for name in sorted({name for name in names if names.count(name) > 1})]
    if problems:
        raise WrongSchedule(source, problems)
    return tuple(plan for plan in plans if plan is not None)


class _Reader:
    """One entry; `problems` holds what is wrong with it."""

    FIELDS = frozenset(
        ("name", "kind", "when", "time_zone", "description", "owner", "request", "priority", "jitter", "missed", "overlap", "first", "keep_memory")
    )

    def __init__(self, number: int, entry: object, kinds: Mapping[str, JobKind]) -> None:
        self._entry: dict[str, Any] = entry if isinstance(entry, dict) else {}
        self._kinds = kinds
        self._label = str(self._entry.get("name", f"job {number}"))
        self.problems: list[str] = [] if isinstance(entry, dict) else [f"job {number}: expected fields, was {type(entry).__name__}"]

    def plan(self) -> Plan | None:
        if self.problems:
            return None
        for name in sorted(self._entry.keys() - self.FIELDS, key=str):
            self._wrong(str(name), f"one of the fields {', '.join(sorted(self.FIELDS))}")
        name = self._matching("name", _NAME, "lower-case letters, digits and dashes, beginning with a letter, at most 63 characters")
        kind, times = self._kind(), self._times()
        rest: dict[str, Any] = {
            "description": self._text("description"),
            "owner": self._text("owner"),
            "request": self._request(),
            "priority": self._one_of("priority", Priority) if "priority" in self._entry else None,
            "jitter_s": self._duration(),
            "missed": self._one_of("missed", Missed, Missed.LATEST),
            "overlap": self._one_of("overlap", Overlap, Overlap.SKIP),
            "first": self._one_of("first", First, First.PLANNED),
            "keep_memory_bytes": self._size(),
        }
        if kind is None or times is None or self.problems:
            return None
        plan = Plan(name, kind, str(self._entry["when"]), times, **rest)
        try:
            plan.message(0)
        except (json_format.ParseError, TypeError) as error:
            # TypeError: YAML has values that JSON has not, such as dates.
            self._wrong("request", f"a {kind.request.DESCRIPTOR.full_name} ({error})")
        return plan

    def _wrong(self, name: str, expected: str) -> None:
        self.problems.append(f"{self._label}: {name}: expected {expected}, was {self._entry.get(name)!r}")

    def _text(self, name: str) -> str:
        value = self._entry.get(name, "")
        if not isinstance(value, str):
            self._wrong(name, "a text")
        return str(value)

    def _matching(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self._text(name)
        if not pattern.fullmatch(value):
            self._wrong(name, expected)
        return value

    def _kind(self) -> JobKind | None:
        kind = self._kinds.get(self._text("kind"))
        if kind is None:
            self._wrong("kind", f"one of {', '.join(sorted(self._kinds))}")
        return kind

    def _times(self) -> Times | None:
        zone = self._entry.get("time_zone", "UTC")
        try:
            where = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            self._wrong("time_zone", "an IANA time zone, for instance Europe/Berlin")
            return None
        try:
            return times_of(self._text("when"), where)
        except WrongTimes as error:
            self._wrong("when", str(error))
            return None

    def _request(self) -> dict[str, Any]:
        value = self._entry.get("request", {})
        if not isinstance(value, dict):
            self._wrong("request", "fields")
            return {}
        return value

    def _one_of(self, name: str, choices: type[StrEnum], default: StrEnum | None = None) -> StrEnum | None:
        value = str(self._entry.get(name, default))
        try:
            return choices(value)
        except ValueError:
            self._wrong(name, f"one of {', '.join(choices)}")
            return default

    def _duration(self) -> float:
        value = str(self._entry.get("jitter", "0s"))
        found = _DURATION.fullmatch(value)
        if found is None:
            self._wrong("jitter", "a duration such as 30s, 5m or 1h")
            return 0.0
        return float(found[1]) * _SECONDS[found[2]]

    def _size(self) -> int:
        value = str(self._entry.get("keep_memory", "256 MiB"))
        found = _SIZE.fullmatch(value)
        if found is None:
            self._wrong("keep_memory", "a size such as 200 MiB")
            return 0
        return int(found[1]) << 20
