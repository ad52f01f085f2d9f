"""`signalbox job`: what it sends, what it shows, how it waits."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.local import edge_rest
from deploy.local.edge_rest import EdgeRest
from deploy.local.errors import SettingError, StackError, Unreachable
from deploy.local.jobs_cli import creation, request_of, seconds_of, until_done
from deploy.local.jobs_view import JobBar, count_of, details, jobs_table, left_of, outcome


def operation(state: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    metadata = {
        "@type": "type.googleapis.com/signalbox.reports.v1.Job",
        "id": "ab12",
        "kind": "report.daily",
        "state": f"JOB_STATE_{state}",
        "priority": "JOB_PRIORITY_LOW",
        "attempt": 2,
        "max_attempts": 3,
        "progress": {"done": 120, "total": 500, "unit": "symbols", "message": "charts"},
        "created_at": "2026-01-05T00:00:00.5Z",
        "started_at": "2026-01-05T00:00:01Z",
        "estimated_end_at": "2026-01-05T00:01:00Z",
        "owner": "cli",
        "peak_memory_bytes": "154075136",
        "request": {"date": "2013-03-01"},
    }
    return {"name": "operations/ab12", "metadata": metadata | changes}


SUCCEEDED = operation("SUCCEEDED", ended_at="2026-01-05T00:00:09Z") | {
    "done": True,
    "response": {"@type": "type.googleapis.com/signalbox.reports.v1.CleanCacheResult", "removed_keys": "3"},
}
FAILED = operation("FAILED") | {"done": True, "error": {"code": 2, "message": "no bars for 2013-03-02"}}


def shown(what: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Edge(EdgeRest):
    """Answers what it was given, one after the other; an exception is raised."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        super().__init__("http://edge")
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any] | None]] = []

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        self.asked.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_what_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"date": "2013-03-01"}')
    assert creation("report.daily", f"@{file}", "high", "k", "1h30m") == {
        "kind": "report.daily",
        "request": {"date": "2013-03-01"},
        "owner": "cli",
        "priority": "JOB_PRIORITY_HIGH",
        "unique_key": "k",
        "deadline": "5400s",
    }
    assert creation("cache.clean", "{}", "", "", "") == {"kind": "cache.clean", "request": {}, "owner": "cli"}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("0.5s", 0.5), ("1.5h", 5400.0)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "10 m", "-5s", "10d", "5s later", "1h,30m"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--deadline"):
        seconds_of(text)


@pytest.mark.parametrize(("text", "says"), [("{", "no JSON"), ("[1]", "a JSON object"), ("@/nowhere.json", "cannot be read")])
def test_wrong_requests_are_refused(text: str, says: str) -> None:
    with pytest.raises(SettingError, match=f"--request: .*{says}"):
        request_of(text)


def test_a_wrong_priority_is_refused() -> None:
    with pytest.raises(SettingError, match="--priority: was 'urgent'; expected: high, normal, low"):
        creation("cache.clean", "{}", "urgent", "", "")


def test_waiting_asks_until_it_is_done_and_shows_each_answer() -> None:
    edge, seen = Edge(operation(), SUCCEEDED), list[dict[str, Any]]()
    assert until_done(edge, operation("WAITING"), seen.append) == SUCCEEDED
    assert [each["metadata"]["state"] for each in seen] == ["JOB_STATE_WAITING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert edge.asked == [("POST", "/v1/operations/ab12:wait", {"timeout": "0.5s"})] * 2
    assert until_done(Edge(), FAILED, seen.append) == FAILED


def test_waiting_outlives_a_restart_of_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_rest, "_PAUSE_SECONDS", 0.0)
    edge = Edge(Unreachable("gone", ""), Unreachable("gone", ""), SUCCEEDED)
    assert until_done(edge, operation(), lambda _: None) == SUCCEEDED
    monkeypatch.setattr(edge_rest, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unreachable) as caught:
        until_done(Edge(Unreachable("gone", ""), Unreachable("gone", "")), operation(), lambda _: None)
    assert "signalbox job wait ab12" in caught.value.hint
    with pytest.raises(StackError, match="NOT_FOUND"):
        until_done(Edge(StackError("NOT_FOUND")), operation(), lambda _: None)


def test_off_a_terminal_a_change_is_a_line() -> None:
    console = Console(file=io.StringIO(), width=200)
    with JobBar(console) as bar:
        for each in (operation("WAITING"), operation(), operation(), SUCCEEDED):
            bar.show(each)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split(" is ")[1] for line in lines] == [f"{state} (attempt 2 of 3)" for state in ("waiting", "running", "succeeded")]


def test_on_a_terminal_there_is_a_bar() -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with JobBar(console) as bar:
        bar.show(operation("WAITING", progress={}))
        bar.show(operation())
    assert isinstance(console.file, io.StringIO)
    for words in ("report.daily running", "120/500 symbols", "ends in 0 s", "charts"):
        assert words in console.file.getvalue()


@pytest.mark.parametrize(
    ("progress", "text"),
    [({}, ""), ({"done": 3}, "3"), ({"done": 3, "unit": "keys"}, "3 keys"), ({"done": 1500, "total": 2000.5, "unit": "bars"}, "1,500/2,000.5 bars")],
)
def test_how_far(progress: dict[str, Any], text: str) -> None:
    assert count_of({"progress": progress}) == text


@pytest.mark.parametrize(("now", "text"), [("00:00:48", "ends in 12 s"), ("00:01:10", "ends in 0 s"), ("00:00:00", "ends in 60 s")])
def test_when_it_ends(now: str, text: str) -> None:
    assert left_of(operation()["metadata"], datetime.fromisoformat(f"2026-01-05T{now}Z")) == text
    assert left_of({}) == ""


def test_a_list_has_a_row_for_each() -> None:
    text = shown(jobs_table([operation()["metadata"], SUCCEEDED["metadata"] | {"last_error": "[red]once[/red]"}]))
    assert text.count("ab12") == 2
    for words in ("2/3", "120/500 symbols", "2026-01-05 00:00:00", "8.0 s", "[red]once[/red]"):
        assert words in text


def test_details_name_every_field_and_the_outcome() -> None:
    text = shown(details(FAILED))
    for words in ("priority", "low", "120/500 symbols", "created at", "146.9 MiB", '{"date": "2013-03-01"}', "no bars for 2013-03-02"):
        assert words in text


def test_the_outcome_is_the_result_or_the_reason() -> None:
    assert outcome(FAILED) == "ab12 failed: no bars for 2013-03-02"
    assert json.loads(outcome(SUCCEEDED).removeprefix("ab12 succeeded: ")) == {"removed_keys": "3"}
