"""The daily report through the edge of the running stack: asked for over REST and from the command line, its files as a browser gets them."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Stack, signalbox

DAY = "2011-08-08"
#: Seconds that a report may take on a busy machine.
PATIENCE_S = 180


async def made(session: aiohttp.ClientSession, request: dict[str, Any]) -> dict[str, Any]:
    """The report of a request."""
    async with session.post("/v1/reports/daily", json=request) as answer:
        assert answer.status == 200, await answer.text()
        operation = await answer.json()
    end = time.monotonic() + PATIENCE_S
    while not operation.get("done"):
        assert time.monotonic() < end, operation
        async with session.post(f"/v1/{operation['name']}:wait", json={"timeout": "5s"}) as answer:
            operation = await answer.json()
    assert "error" not in operation, operation
    report: dict[str, Any] = operation["response"]
    assert report.pop("@type").endswith("signalbox.reports.v1.DailyReport")
    return report


async def get(session: aiohttp.ClientSession, path: str, status: int = 200) -> bytes:
    async with session.get(path) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


async def test_a_report_is_asked_for_and_downloaded(stack: Stack) -> None:
    async with aiohttp.ClientSession(stack.base_url) as session:
        report = await made(session, {"date": DAY, "universe": ["AAPL.XNAS", "IBM.XNYS", "NONE.XNAS"]})
        assert (report["date"], report["symbols_expected"], report["symbols_arrived"], report["symbols_missing"]) == (DAY, 3, 2, 1)
        assert [file["name"] for file in report["files"]] == ["report.json", "figures.parquet", "report.html", "report.pdf", "input.zip"]
        for file in report["files"]:
            data = await get(session, f"/v1/reports/{report['id']}/files/{file['name']}")
            assert (len(data), hashlib.sha256(data).hexdigest()) == (int(file["size_bytes"]), file["sha256"])
        async with session.get(f"/v1/reports/{report['id']}/files/report.html") as answer:
            assert answer.content_type == "text/html"
        document = json.loads(await get(session, f"/v1/reports/{report['id']}/files/report.json"))
        apple = document["symbols"][0]
        # The day on which the Dow fell by 634 points; of the file.
        assert (apple["symbol"], apple["last"]["open"], apple["last"]["close"]) == ("AAPL.XNAS", 361.69, 353.21)
        listed = json.loads(await get(session, "/v1/reports"))["reports"]
        assert report["id"] in {item["id"] for item in listed}
        # Of the report itself; what a delivery would add is the job's.
        assert json.loads(await get(session, f"/v1/reports/{report['id']}"))["report"] == report


async def test_a_report_is_the_same_when_it_is_made_again(stack: Stack) -> None:
    async with aiohttp.ClientSession(stack.base_url) as session:
        first = await made(session, {"date": DAY, "universe": ["MSFT.XNAS"], "time_zone": "America/New_York"})
        again = await made(session, {"input_of": first["id"]})
        assert again["id"] == first["id"]
        assert again["files"] == first["files"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [({"date": "yesterday"}, "date"), ({"universe": ["apple"]}, "universe"), ({"time_zone": "Here"}, "time_zone"), ({"formats": [0]}, "formats")],
)
async def test_a_wrong_request_is_refused_at_once(stack: Stack, request_: dict[str, Any], field: str) -> None:
    async with aiohttp.ClientSession(stack.base_url) as session, session.post("/v1/reports/daily", json=request_) as answer:
        assert answer.status == 400
        assert (await answer.json())["message"].startswith(f"{field}: expected ")


async def test_what_is_not_there(stack: Stack) -> None:
    async with aiohttp.ClientSession(stack.base_url) as session:
        await get(session, "/v1/reports/2011-08-08-00000000", 404)
        await get(session, "/v1/reports/..%2f..%2fetc", 400)


def test_from_the_command_line(stack: Stack) -> None:
    done = signalbox(stack.env, "report", "daily", "--date", DAY, "-s", "GOOG.XNAS", "-f", "json", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [file["name"] for file in report["files"]] == ["report.json", "input.zip"]
    assert report["id"] in signalbox(stack.env, "report", "list").stdout
    shown = signalbox(stack.env, "report", "show", report["id"])
    assert shown.stdout.startswith(f"{report['id']}: {DAY}, 1 of 1 symbols, ")
    wrong = signalbox(stack.env, "report", "daily", "--date", "nonsense")
    assert wrong.returncode == 1
    assert "expected a day as in 2013-03-01" in wrong.stderr
