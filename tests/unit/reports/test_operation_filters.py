"""The filter of ListOperations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.filters import Filter, make_token, parse_filter, read_token
from services.runtime.errors import InvalidArgument
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import JobState

ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.BURIED}


def parse(text: str) -> Filter:
    return parse_filter(text, JOB_KINDS)


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_means_all(text: str) -> None:
    assert (parse(text).kind, parse(text).states, parse(text).owner) == ("", frozenset(JobState), "")


def test_terms_are_joined() -> None:
    found = parse('kind = "report.daily" AND state=running AND owner = "schedule:morning report"')
    assert (found.kind, found.states, found.owner) == ("report.daily", frozenset({JobState.RUNNING}), "schedule:morning report")


@pytest.mark.parametrize("name", ["buried", "JOB_STATE_BURIED", '"buried"'])
def test_a_state_is_named_as_on_the_command_line_or_on_the_wire(name: str) -> None:
    assert parse(f"state = {name}").states == {JobState.BURIED}


def test_done_is_about_the_state() -> None:
    assert parse("done = true").states == ENDED
    assert parse("done = false").states == set(JobState) - ENDED
    assert parse("done = true AND state = running").states == set()


@pytest.mark.parametrize(
    "text",
    [
        "running",
        "state running",
        "state = ",
        "= running",
        "state = running AND",
        "AND state = running",
        "state = running OR state = waiting",
        "state = running state = waiting",
        "state = running AND state = waiting",
        "NOT state = running",
        "state != running",
        "state : running",
        "(state = running)",
        "size = 5",
        'owner = "a',
        "state = running ANDowner = a",
        "done = true ; drop",
    ],
)
def test_anything_else_is_refused_saying_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"filter: expected terms joined by AND.*kind = .*state = .*owner = .*done = "):
        parse(text)


@pytest.mark.parametrize(("text", "says"), [("state = walking", "waiting, running"), ("kind = nothing", "cache.clean"), ("done = 1", "true or false")])
def test_a_wrong_value_is_refused_saying_which_exist(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except InvalidArgument:
        return
    assert found.text == text


def test_a_page_token_belongs_to_its_filter() -> None:
    first, second = parse("state = running"), parse("state = waiting")
    token = make_token(first, "abc")
    assert read_token(first, token) == "abc"
    assert (make_token(first, ""), read_token(first, "")) == ("", "")
    with pytest.raises(InvalidArgument, match="page_token"):
        read_token(second, token)
