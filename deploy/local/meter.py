"""A test client: subscribes to everything through the edge and counts what is really delivered.

Run as `python -m deploy.local.meter --url ws://... --seconds 30 --out build/run-summary.json`.
Only messages of a replay count: synthetic ticks prove nothing, and history is not movement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

#: What the client asks for: everything, so that what is counted is what flows.
SUBSCRIBE = {
    "action": "subscribe",
    "id": "meter",
    "ticks": ["*"],
    "bars": ["*"],
    "live_bars": ["*"],
    "indicators": ["*"],
    "signals": ["*"],
    "interval": ["1s", "1m", "5m", "15m", "1h", "1d"],
}

#: The kinds of message that carry market data.
MARKET_KINDS = frozenset({"tick", "bar", "live_bar", "indicators", "signal"})

#: The kinds whose `ts_recv` says when the data reached us, so that latency can be measured.
TIMED_KINDS = frozenset({"tick", "live_bar"})

#: With everything ready, the replay's first trade takes a second or two; this long means broken.
FIRST_DELIVERY_SECONDS = 60.0


@dataclass(slots=True)
class Tally:
    """What has been delivered so far."""

    kinds: Counter[str] = field(default_factory=Counter)
    indicator_values: int = 0
    latencies_us: array[int] = field(default_factory=lambda: array("q"))
    first_at: float | None = None
    """Monotonic time of the first delivery that counts."""

    def add(self, messages: Iterable[Mapping[str, Any]], now_us: int) -> None:
        """Count the messages of one frame. now_us: wall clock at receipt, microseconds."""
        for message in messages:
            kind = message["T"]
            if kind == "error":
                raise MeterError(f"the edge refused the subscription: {message}")
            if kind not in MARKET_KINDS or message.get("source") != "replay" or message.get("hist"):
                continue
            if self.first_at is None:
                self.first_at = time.monotonic()
            self.kinds[kind] += 1
            if kind == "indicators":
                self.indicator_values += len(message["values"])
            if kind in TIMED_KINDS and "ts_recv" in message:
                self.latencies_us.append(now_us - message["ts_recv"])

    def summary(self, seconds: float) -> dict[str, Any]:
        """The figures of build/run-summary.json."""
        figures = {
            "ticks_in": self.kinds["tick"],
            "bars": self.kinds["bar"],
            "indicator_values": self.indicator_values,
            "signals": self.kinds["signal"],
            "delivered": self.kinds.total(),
        }
        latency = {"p50": percentile_ms(self.latencies_us, 50), "p99": percentile_ms(self.latencies_us, 99)}
        return {**figures, "latency_ms": latency, "seconds": round(seconds, 2), "ok": all(figures.values())}


class MeterError(Exception):
    """The client could not do its work."""


def percentile_ms(latencies_us: array[int], percent: int) -> float | None:
    """Nearest-rank percentile in milliseconds; None without a value."""
    if not latencies_us:
        return None
    ordered = sorted(latencies_us)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / 1000


async def measure(url: str, seconds: float, tally: Tally) -> float:
    """Listen until `seconds` after the first delivery. Returns the seconds measured; 0 when nothing came."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.ws_connect(url, max_msg_size=0) as socket:
        await socket.send_json(SUBSCRIBE)
        began = time.monotonic()
        while (left := _seconds_left(began, seconds, tally)) > 0:
            try:
                frame = await socket.receive(timeout=left)
            except TimeoutError:
                break
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise MeterError(f"the edge closed the connection: {frame.type.name} {frame.data} {frame.extra}")
            tally.add(orjson.loads(frame.data), time.time_ns() // 1000)
    return 0.0 if tally.first_at is None else time.monotonic() - tally.first_at


def _seconds_left(began: float, seconds: float, tally: Tally) -> float:
    if tally.first_at is None:
        return began + FIRST_DELIVERY_SECONDS - time.monotonic()
    return tally.first_at + seconds - time.monotonic()


def main() -> int:
    """0 when every figure is above zero, 1 otherwise; the summary is written in any case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tally, measured, problem = Tally(), 0.0, ""
    try:
        measured = asyncio.run(measure(options.url, options.seconds, tally))
    except (MeterError, aiohttp.ClientError, OSError) as error:
        problem = f"{type(error).__name__}: {error}"
        print(problem, file=sys.stderr)
    summary = tally.summary(measured)
    if problem:
        summary |= {"ok": False, "problem": problem}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summary, indent=2) + "\n")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
