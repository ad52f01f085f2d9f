"""The filter of ListOperations: the part of AIP-160 that is understood, and page tokens bound to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from services.runtime.errors import InvalidArgument
from services.runtime.jobs import Job, JobKind, JobState

#: What may be asked for, as the error says it.
ALLOWED = 'terms joined by AND, each field once: kind = "report.daily", state = running, owner = "cli", done = true'

_TERM = re.compile(r'\s*(?P<field>[a-z_]+)\s*=\s*(?:"(?P<quoted>[^"\\]*)"|(?P<bare>[^\s"()=<>!:]+))\s*')
_AND = re.compile(r"AND\b")
_DIGEST_LENGTH = 8
_ENDED = frozenset(state for state in JobState if state.has_ended)
_STATES = {**{state.value: state for state in JobState}, **{f"JOB_STATE_{state.name}": state for state in JobState}}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are wanted."""

    text: str = ""
    """As it was given."""
    kind: str = ""
    """Empty: all."""
    states: frozenset[JobState] = frozenset(JobState)
    """Jobs in one of these; when empty, no job matches."""
    owner: str = ""
    """Empty: all."""

    def matches(self, job: Job) -> bool:
        """Whether a job is wanted."""
        return job.state in self.states and self.kind in {"", job.kind} and self.owner in {"", job.owner}


def parse_filter(text: str, kinds: Mapping[str, JobKind]) -> Filter:
    """Reads a filter; empty: all jobs. Raises InvalidArgument saying what is allowed."""
    result, seen, rest = Filter(text=text), set[str](), text
    while rest.strip():
        term = _TERM.match(rest)
        if term is None or term["field"] not in _FIELDS or term["field"] in seen:
            raise InvalidArgument("filter", text, ALLOWED)
        seen.add(term["field"])
        value = term["bare"] if term["quoted"] is None else term["quoted"]
        result = _FIELDS[term["field"]](result, value, kinds)
        rest = _after_and(text, rest[term.end() :])
    return result


def _after_and(text: str, rest: str) -> str:
    if not rest:
        return rest
    joined = _AND.match(rest)
    if joined is None or not rest[joined.end() :].strip():
        raise InvalidArgument("filter", text, ALLOWED)
    return rest[joined.end() :]


def _kind(so_far: Filter, value: str, kinds: Mapping[str, JobKind]) -> Filter:
    if value not in kinds:
        raise InvalidArgument("filter", value, f"kind to be one of {', '.join(sorted(kinds))}")
    return replace(so_far, kind=value)


def _state(so_far: Filter, value: str, _kinds: object) -> Filter:
    if value not in _STATES:
        raise InvalidArgument("filter", value, f"state to be one of {', '.join(JobState)}")
    return replace(so_far, states=so_far.states & {_STATES[value]})


def _owner(so_far: Filter, value: str, _kinds: object) -> Filter:
    return replace(so_far, owner=value)


def _done(so_far: Filter, value: str, _kinds: object) -> Filter:
    if value not in {"true", "false"}:
        raise InvalidArgument("filter", value, "done to be true or false")
    return replace(so_far, states=so_far.states & _ENDED if value == "true" else so_far.states - _ENDED)


_FIELDS: dict[str, Callable[[Filter, str, Mapping[str, JobKind]], Filter]] = {"kind": _kind, "state": _state, "owner": _owner, "done": _done}


def make_token(wanted: Filter, token: str) -> str:
    """The queue's page token, bound to the filter; empty when that is."""
    return f"{_digest(wanted)}{token}" if token else ""


def read_token(wanted: Filter, token: str) -> str:
    """The queue's page token. Raises InvalidArgument when it belongs to another filter."""
    if token and not token.startswith(_digest(wanted)):
        raise InvalidArgument("page_token", token, "the next_page_token of the page before, with the same filter")
    return token[_DIGEST_LENGTH:]


def _digest(wanted: Filter) -> str:
    return hashlib.blake2b(wanted.text.encode(), digest_size=_DIGEST_LENGTH // 2).hexdigest()
