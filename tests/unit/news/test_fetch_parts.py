"""Bodies unpacked within a bound, turns at hosts, rules of robots.txt, Retry-After: each without a network."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.errors import FeedAway, FeedProblem, FeedRefused, FeedStumbled
from services.news.fetch.body import Unpacker
from services.news.fetch.pace import MAX_PAUSE_S, HostPace
from services.news.fetch.retry_after import MAX_SECONDS, retry_after_s
from services.news.fetch.robots import FAILURE_KEPT_S, KEPT_S, Robots
from services.runtime.testing.clock import ManualClock

_LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]) + bytes(3),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "identity": lambda data: data,
    "": lambda data: data,
}


@given(st.binary(min_size=1, max_size=2_000), st.sampled_from(sorted(PACKED)), st.integers(min_value=2, max_value=300))
def test_a_body_is_the_same_however_it_comes(data: bytes, encoding: str, step: int) -> None:
    packed, unpacker = PACKED[encoding](data), Unpacker(encoding, _LIMIT)
    for start in range(0, len(packed), step):
        unpacker.add(packed[start : start + step])
    assert unpacker.body == data
    assert unpacker.is_complete


@given(st.integers(min_value=1, max_value=len(gzip.compress(b"what comes " * 90)) - 1))
def test_a_packed_body_that_is_cut_is_not_complete(length: int) -> None:
    unpacker = Unpacker("gzip", _LIMIT)
    unpacker.add(gzip.compress(b"what comes " * 90)[:length])
    assert (b"what comes " * 90).startswith(unpacker.body)
    assert not unpacker.is_complete


@pytest.mark.parametrize("encoding", ["gzip", "deflate", ""])
def test_the_limit_holds_for_what_comes_out(encoding: str) -> None:
    with pytest.raises(FeedRefused, match="too-large"):
        Unpacker(encoding, _LIMIT).add(PACKED[encoding](bytes(_LIMIT + 1)))
    fits = Unpacker(encoding, _LIMIT)
    fits.add(PACKED[encoding](bytes(_LIMIT)))
    assert len(fits.body) == _LIMIT


def test_what_cannot_be_unpacked_is_refused() -> None:
    with pytest.raises(FeedRefused, match="content-encoding"):
        Unpacker("br", _LIMIT)
    with pytest.raises(FeedRefused, match="bad-compression"):
        Unpacker("gzip", _LIMIT).add(b"\x1f\x8b\xff\xff nonsense")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999", MAX_SECONDS),
        ("Mon, 05 Jan 2026 00:02:00 GMT", 120.0),
        ("Sun, 04 Jan 2026 00:00:00 GMT", 0.0),
        ("Mon, 05 Jan 2099 00:00:00 GMT", MAX_SECONDS),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, ManualClock().now_ns()) == seconds


async def test_a_host_has_its_pause_and_another_host_need_not_wait() -> None:
    clock = ManualClock()
    pace = HostPace(clock, pause_s=2.0)
    began: list[tuple[str, int]] = []

    async def ask(host: str, delay_s: float = 0.0) -> None:
        async with pace.turn(host, delay_s):
            began.append((host, clock.monotonic_ns() // 10**9))

    tasks = [asyncio.create_task(ask(*turn)) for turn in (("a",), ("a",), ("b",), ("a", 5.0), ("a", 1e9))]
    for _ in range(80):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance(1)
    await asyncio.gather(*tasks)
    assert began == [("a", 0), ("b", 0), ("a", 2), ("a", 7), ("a", 7 + int(MAX_PAUSE_S))]


async def test_a_host_that_was_not_reached_is_left_alone_for_a_while() -> None:
    clock = ManualClock()
    pace = HostPace(clock, pause_s=0.0, down_s=60.0)
    pace.report_down("a", "no route")
    with pytest.raises(FeedAway, match="unreachable: no route"):
        async with pace.turn("a"):
            pytest.fail("it was asked")
    async with pace.turn("b"):
        pass
    clock.advance(60)
    async with pace.turn("a"):
        pass
    pace.report_down("a", "no route")
    pace.report_up("a")
    async with pace.turn("a"):
        pass


class RobotsServer:
    """Answers to robots.txt by a script."""

    def __init__(self, *answers: tuple[int, bytes] | FeedProblem) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, url: str) -> tuple[int, bytes]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, FeedProblem):
            raise answer
        return answer


_RULES = b"User-agent: *\nCrawl-delay: 3\nDisallow: /private\n"


async def test_rules_are_kept_for_an_hour() -> None:
    server, clock = RobotsServer((200, _RULES), (404, b"")), ManualClock()
    robots = Robots(server, "Signalbox", clock)
    for _ in range(3):
        assert await robots.check("https://a.example", "https://a.example/rss") == 3.0
        with pytest.raises(FeedRefused, match="robots: "):
            await robots.check("https://a.example", "https://a.example/private/rss")
    assert server.asked == 1
    clock.advance(KEPT_S)
    assert await robots.check("https://a.example", "https://a.example/private/rss") == 0.0


@pytest.mark.parametrize("answer", [(500, b""), (429, b""), FeedRefused("too-large", "x")])
async def test_while_the_rules_cannot_be_had_nothing_is_allowed_or_the_old_ones_hold(answer: tuple[int, bytes] | FeedProblem) -> None:
    server, clock = RobotsServer(answer, (200, _RULES), answer), ManualClock()
    robots = Robots(server, "Signalbox", clock)
    with pytest.raises(FeedRefused, match="robots-unavailable"):
        await robots.check("https://a.example", "https://a.example/rss")
    clock.advance(FAILURE_KEPT_S)
    assert await robots.check("https://a.example", "https://a.example/rss") == 3.0
    clock.advance(KEPT_S)
    assert await robots.check("https://a.example", "https://a.example/rss") == 3.0
    assert server.asked == 3


@pytest.mark.parametrize("problem", [FeedAway("unreachable", "x"), FeedStumbled("disconnected", "x")])
async def test_a_host_that_is_not_reached_is_no_host_that_forbids(problem: FeedProblem) -> None:
    robots = Robots(RobotsServer(problem, (200, b"")), "Signalbox", ManualClock())
    with pytest.raises(type(problem)):
        await robots.check("https://a.example", "https://a.example/rss")
    assert await robots.check("https://a.example", "https://a.example/rss") == 0.0
