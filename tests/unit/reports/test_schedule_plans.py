"""The schedule's file, and planned times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import islice, takewhile
from pathlib import Path

import pytest
from signalbox.reports.v1 import reports_service_pb2

from services.reports.schedule.plans import First, Missed, Overlap, WrongSchedule, load_plans, parse_plans
from services.reports.schedule.times import WrongTimes, times_of
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import Priority

NS = 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS


def times(when: str, zone: str, start: str, count: int) -> list[str]:
    from zoneinfo import ZoneInfo

    found = islice(times_of(when, ZoneInfo(zone)).after(ns(start)), count)
    return [datetime.fromtimestamp(planned // NS, UTC).strftime("%Y-%m-%dT%H:%M") for planned in found]


def test_a_time_that_does_not_exist_runs_right_after_the_gap() -> None:
    # On 2026-03-29 Berlin's clocks go from 02:00 to 03:00.
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_time_that_comes_twice_runs_once() -> None:
    # On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00.
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00Z", 3) == ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]


def test_every_hour_is_every_hour_also_when_clocks_change() -> None:
    assert times("30 * * * *", "Europe/Berlin", "2026-10-25T00:00Z", 4) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30", "2026-10-25T03:30"]


def test_sessions_know_holidays_early_closes_and_summer_time() -> None:
    # Thanksgiving 2026 is 26 November: closed; the day after closes at 13:00 in New York. Summer time there ends on 1 November.
    after = "15 minutes after the close of XNYS"
    assert times(after, "UTC", "2026-11-25T00:00Z", 3) == ["2026-11-25T21:15", "2026-11-27T18:15", "2026-11-30T21:15"]
    assert times(after, "UTC", "2026-10-30T00:00Z", 2) == ["2026-10-30T20:15", "2026-11-02T21:15"]
    assert times("5 minutes before the open of XLON", "UTC", "2026-03-27T00:00Z", 2) == ["2026-03-27T07:55", "2026-03-30T06:55"]
    assert times("at the close of XNYS", "UTC", "2026-07-02T00:00Z", 2) == ["2026-07-02T20:00", "2026-07-06T20:00"]


def test_sessions_go_on_over_the_years() -> None:
    found = list(takewhile(lambda planned: planned < ns("2030-01-01T00:00Z"), times_of("at the close of XNYS", UTC).after(ns("2026-01-01T00:00Z"))))
    assert found == sorted(set(found))
    assert 4 * 249 <= len(found) <= 4 * 253


def test_the_day_of_a_run_is_that_of_its_zone_or_session() -> None:
    from zoneinfo import ZoneInfo

    tokyo = times_of("0 8 * * *", ZoneInfo("Asia/Tokyo"))
    assert tokyo.date_of(next(tokyo.after(ns("2026-05-01T12:00Z")))) == date(2026, 5, 2)
    late = times_of("600 minutes after the close of XNYS", UTC)
    planned = next(late.after(ns("2026-11-27T23:00Z")))
    assert (datetime.fromtimestamp(planned // NS, UTC).date(), late.date_of(planned)) == (date(2026, 11, 28), date(2026, 11, 27))


@pytest.mark.parametrize("when", ["", "every day", "* * * *", "61 * * * *", "* * * * * *", "15 minutes after the close of XXXX", "at the lunch of XNYS"])
def test_a_wrong_time_says_what_is_expected(when: str) -> None:
    with pytest.raises(WrongTimes, match=r"cron expression|by its MIC"):
        times_of(when, UTC)


def test_the_schedule_that_comes_with_the_product_is_right() -> None:
    plans = {plan.name: plan for plan in load_plans(None, JOB_KINDS)}
    assert {plan.kind.name for plan in plans.values()} == set(JOB_KINDS)
    assert all(plan.description and plan.owner for plan in plans.values())
    assert plans["daily-report"].times.words() == "at 08:00 every day, UTC"
    assert plans["daily-history"].times.words() == "15 minutes after the close of XNYS"


def test_everything_written_reaches_the_plan() -> None:
    entry = {
        "name": "x",
        "kind": "report.daily",
        "when": "0 8 * * 1-5",
        "time_zone": "Europe/Berlin",
        "request": {"date": "{date}", "formats": ["REPORT_FORMAT_PDF"]},
        "priority": "high",
        "jitter": "1.5m",
        "missed": "all",
        "overlap": "cancel-previous",
        "first": "at-once",
        "keep_memory": "64 MiB",
    }
    plan = parse_plans([entry], JOB_KINDS)[0]
    assert (plan.priority, plan.jitter_s, plan.missed, plan.overlap, plan.first) == (Priority.HIGH, 90.0, Missed.ALL, Overlap.CANCEL_PREVIOUS, First.AT_ONCE)
    assert plan.keep_memory_bytes == 64 << 20
    request = plan.message(next(plan.times.after(ns("2026-03-30T12:00Z"))))
    assert request == reports_service_pb2.CreateDailyReportRequest(date="2026-03-31", formats=[reports_service_pb2.REPORT_FORMAT_PDF])


def test_every_mistake_is_told_at_once_with_job_field_value_and_what_was_expected() -> None:
    wrong = [
        {"name": "One", "kind": "report.weekly", "when": "soon"},
        {"name": "two", "kind": "cache.clean", "when": "0 4 * * *", "time_zone": "Mars/Base", "jitter": "long", "missed": "never", "colour": "red"},
        {"name": "three", "kind": "cache.clean", "when": "0 4 * * *", "request": {"prefix": "x"}, "keep_memory": "1 GB"},
        "four",
    ]
    with pytest.raises(WrongSchedule) as caught:
        parse_plans(wrong, JOB_KINDS)
    text = "\n".join(caught.value.problems)
    for part in (
        "One: name: expected lower-case letters",
        "One: kind: expected one of analysis.batch",
        "was 'report.weekly'",
        "One: when: expected a cron expression",
        "two: time_zone: expected an IANA time zone, for instance Europe/Berlin, was 'Mars/Base'",
        "two: jitter: expected a duration such as 30s, 5m or 1h, was 'long'",
        "two: missed: expected one of skip, latest, all, was 'never'",
        "two: colour: expected one of the fields",
        "three: keep_memory: expected a size such as 200 MiB",
        "job 4: expected fields, was str",
    ):
        assert part in text


def test_an_unknown_field_of_a_request_and_a_repeated_name_are_mistakes() -> None:
    entry = {"name": "x", "kind": "cache.clean", "when": "0 4 * * *"}
    with pytest.raises(WrongSchedule, match=r"request: expected a signalbox.reports.v1.CleanCacheRequest"):
        parse_plans([{**entry, "request": {"prefix": "x"}}], JOB_KINDS)
    with pytest.raises(WrongSchedule, match="x: name: expected each name once"):
        parse_plans([entry, entry], JOB_KINDS)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("- name: [")
    for name in ("broken.yaml", "absent.yaml"):
        with pytest.raises(WrongSchedule, match=name):
            load_plans(tmp_path / name, JOB_KINDS)
