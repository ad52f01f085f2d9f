"""From the intended send of a tick to its receipt, by a WebSocket client through the edge, in a forming bar that contains it.

Ticks are sent on a schedule that waits for nobody (tests/bench/schedule.py). A forming bar carries the `ts_recv` of its last tick, which is
the intended time, so each tick is found in the first bar of its symbol and minute with an equal or later one. The reference is the bare
broker: the same batches, from the same sender, read by a plain consumer. BENCH_SECONDS: seconds of each rate, 15; the first 3 are not
measured, of the reference neither (connections are made, symbols become known), but nothing may be lost in them either.
BENCH_RATES: ticks a second, 10000,100000.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import picows
import uvloop
from numpy.typing import NDArray

from services.runtime.columns import decode_ticks
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import TICKS, Layout, Topic
from tests.bench.path import consumer_of
from tests.bench.results import Result
from tests.bench.schedule import Schedule, arguments_of
from tests.bench.stack import PARTITIONS, Stack, running_stack
from tests.servers import REPOSITORY

SECONDS = float(os.environ.get("BENCH_SECONDS") or 15)
RATES = tuple(int(rate) for rate in (os.environ.get("BENCH_RATES") or "10000,100000").split(","))
#: The rate whose figures have the plain name.
FULL_RATE = 100_000
SYMBOLS = 500
WARM_UP_S = 3.0
REFERENCE_S = 5.0
#: Time for the sender to start, and to encode its schedule: ticks a second, a third of what was seen.
LEAD_S = 3.0
ENCODED_PER_S = 250_000
#: A bar is final this long after its end (the worker's default).
LATENESS_NS = 2_000_000_000
SECOND_NS, MINUTE_NS = 1_000_000_000, 60_000_000_000
#: Reached only when something is wrong.
PATIENCE_S = 60.0
REFERENCE = "bare Kafka, the same batches"
RAW = Topic("bench.raw", TICKS.message, "bench", "The same batches, read by a plain consumer.", Layout.BATCH)

_SUBSCRIBE = (b'{"action":"subscribe","live_bars":["*"],"interval":"1m"}', b'{"action":"subscribe","bars":["*"],"interval":"1s"}')


@dataclass(frozen=True, slots=True)
class Received:
    """Bars as the client got them; each array has one entry a message."""

    symbol: NDArray[np.int64]
    """Index in the schedule's names."""
    open_ns: NDArray[np.int64]
    recv_ns: NDArray[np.int64]
    """The last tick's intended time; 0 in final bars."""
    volume: NDArray[np.int64]
    at_ns: NDArray[np.int64]
    """Wall clock at receipt of the frame."""


def run() -> list[Result]:
    """Latencies at each rate."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as folder, running_stack(Path(folder)) as stack:
        ensure_topics(stack.bootstrap, PARTITIONS, [RAW])
        for number, rate in enumerate(RATES):
            bare = _bare(stack, _schedule(rate, REFERENCE_S + WARM_UP_S, 0))
            schedule = _schedule(rate, SECONDS + WARM_UP_S, (number + 1) * SYMBOLS)
            cpu = stack.cpu_seconds()
            live, final = uvloop.run(_client(stack, schedule))
            cpu = {name: (seconds - cpu[name]) / schedule.seconds for name, seconds in stack.cpu_seconds().items()}
            check(schedule, final)
            results += _results(rate, _with_unseen(in_live_bars(schedule, live)), in_final_bars(schedule, final), bare, cpu)
    return results


def _schedule(rate: int, seconds: float, first_symbol: int) -> Schedule:
    """Begins when its sender is ready."""
    return Schedule(rate, seconds, SYMBOLS, first_symbol, int(time.time() + _lead_s(rate * seconds) + 1) * SECOND_NS)


def _lead_s(ticks: float) -> float:
    return LEAD_S + ticks / ENCODED_PER_S


def _results(rate: int, live: NDArray[np.float64], final: NDArray[np.float64], bare: NDArray[np.float64], cpu: dict[str, float]) -> list[Result]:
    name = "path.tick_to_client" if rate == FULL_RATE else f"path.tick_to_client.{rate}"
    figures = [
        Result(f"{name}_{label}_ms", _percentile(live, percent), "ms", REFERENCE, _percentile(bare, percent), higher_is_better=False)
        for label, percent in (("p50", 50), ("p99", 99), ("max", 100))
    ]
    finals = [Result(f"{name}_final_{label}_ms", _percentile(final, percent), "ms", higher_is_better=False) for label, percent in (("p50", 50), ("p99", 99))]
    loads = [Result(f"{name}.cpu.{process}", seconds, "cores", higher_is_better=False) for process, seconds in cpu.items()]
    return [*figures, *finals, *loads]


def _percentile(latencies: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(latencies, percent, method="higher"))


def _with_unseen(latency: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tick that was first seen in its final bar came later than the lateness bound; no other figure is known of it, so that one counts."""
    return np.where(np.isnan(latency), np.fmax(np.nanmax(latency), LATENESS_NS / 1e6), latency)


def in_live_bars(schedule: Schedule, live: Received) -> NDArray[np.float64]:
    """Milliseconds until each measured tick was in a forming bar of its minute; NaN for one that was not, because its bar was final before."""
    rows = np.flatnonzero(schedule.sent_ns >= schedule.start_ns + int(WARM_UP_S * 1e9))
    sent = schedule.sent_ns[rows]
    series = schedule.symbol[rows].astype(np.int64) * 1_000 + (sent // MINUTE_NS - schedule.start_ns // MINUTE_NS)
    bars = live.symbol * 1_000 + (live.open_ns // MINUTE_NS - schedule.start_ns // MINUTE_NS)
    latency = np.full(len(rows), np.nan)
    of_bar = dict(_groups(bars))
    for number, ticks in _groups(series):
        got = of_bar.get(number, np.zeros(0, np.int64))
        newest = np.maximum.accumulate(live.recv_ns[got]) if len(got) else live.recv_ns[got]
        first = np.searchsorted(newest, sent[ticks], side="left")
        found = first < len(got)
        latency[ticks[found]] = (live.at_ns[got[first[found]]] - sent[ticks[found]]) / 1e6
    return latency


def in_final_bars(schedule: Schedule, final: Received) -> NDArray[np.float64]:
    """Milliseconds from the intended send of the tick that makes a one-second bar final to the bar's receipt: the lateness bound is off."""
    of_symbol = dict(_groups(schedule.symbol.astype(np.int64)))
    latencies: list[NDArray[np.float64]] = []
    for symbol, bars in _groups(final.symbol):
        sent = schedule.sent_ns[of_symbol[symbol]]
        closing = np.searchsorted(sent, final.open_ns[bars] + SECOND_NS + LATENESS_NS, side="left")
        # The last seconds' bars are closed by the end of the source and by no tick.
        by_tick = (closing < len(sent)) & (final.open_ns[bars] >= schedule.start_ns + int(WARM_UP_S * 1e9) - LATENESS_NS)
        latencies.append((final.at_ns[bars[by_tick]] - sent[closing[by_tick]]) / 1e6)
    return np.concatenate(latencies)


def _groups(numbers: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each number with the places where it stands, in their order."""
    order = np.argsort(numbers, kind="stable")
    values, starts = np.unique(numbers[order], return_index=True)
    yield from zip(values.tolist(), np.split(order, starts[1:]), strict=True)


def expected_bars(schedule: Schedule) -> int:
    """One-second bars that the schedule makes."""
    return len(np.unique(schedule.symbol.astype(np.int64) * 1_000_000 + (schedule.sent_ns - schedule.start_ns) // SECOND_NS))


def check(schedule: Schedule, final: Received) -> None:
    """Raises when a tick is not in a final bar, or a bar came twice."""
    keys = final.symbol * 1_000_000 + (final.open_ns - schedule.start_ns) // SECOND_NS
    if len(np.unique(keys)) != len(keys):
        raise RuntimeError(f"{len(keys) - len(np.unique(keys))} final bars came twice")
    if (got := int(final.volume.sum())) != (sent := int(schedule.size.sum())):
        raise RuntimeError(f"a volume of {sent} was sent, {got} was in the final bars of the client")


# -- the client


class _Listener(picows.WSListener):
    """Keeps frames as they come: reading them must not slow down the machine that is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[int, bytes]] = []
        self.finals = 0
        self.ended: str | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        for request in _SUBSCRIBE:
            transport.send(picows.WSMsgType.TEXT, request)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            self.ended = f"{frame.get_close_code()} {frame.get_close_message()!r}"
            return
        data = frame.get_payload_as_bytes()
        self.frames.append((time.time_ns(), data))
        self.finals += data.count(b'"T":"bar"')

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.ended = self.ended or "disconnected"


async def _client(stack: Stack, schedule: Schedule) -> tuple[Received, Received]:
    """Sends the schedule and listens until all final bars are here; forming and final bars."""
    transport, listener = await picows.ws_connect(_Listener, f"ws://{stack.edge}/v1/stream")
    assert isinstance(listener, _Listener)
    command = arguments_of(schedule, stack.bootstrap, TICKS.name, PARTITIONS, ends=True)
    sender = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    bars, deadline = expected_bars(schedule), time.monotonic() + _lead_s(schedule.count) + schedule.seconds + PATIENCE_S
    while listener.finals < bars:
        if listener.ended is not None:
            raise RuntimeError(f"the client was disconnected: {listener.ended}")
        if sender.returncode or time.monotonic() > deadline:
            raise RuntimeError(f"{listener.finals} of {bars} final bars came; sender: {sender.returncode}")
        await asyncio.sleep(0.05)
    await sender.wait()
    transport.disconnect()
    return _parsed(schedule, listener.frames)


def _parsed(schedule: Schedule, frames: list[tuple[int, bytes]]) -> tuple[Received, Received]:
    number = {name: index for index, name in enumerate(schedule.names)}
    rows: dict[str, list[tuple[int, int, int, int, int]]] = {"bar": [], "live_bar": []}
    for at, frame in frames:
        for message in orjson.loads(frame):
            if message["T"] in rows and message["S"] in number:
                rows[message["T"]].append(_row(number, message, at))
            elif message["T"] in ("gap", "error"):
                raise RuntimeError(f"the client was told: {message}")
    return _received(rows["live_bar"]), _received(rows["bar"])


def _row(number: dict[str, int], message: dict[str, Any], at: int) -> tuple[int, int, int, int, int]:
    return number[message["S"]], message["t"] * 1_000_000, message.get("ts_recv", 0) * 1_000, round(message["v"]), at


def _received(rows: list[tuple[int, int, int, int, int]]) -> Received:
    return Received(*np.array(rows, np.int64).reshape(-1, 5).T)


# -- the reference


def _bare(stack: Stack, schedule: Schedule) -> NDArray[np.float64]:
    """Milliseconds from the intended send of each tick to a plain consumer's receipt of its record."""
    consumer = consumer_of(stack.bootstrap, RAW.name, PARTITIONS)
    command = arguments_of(schedule, stack.bootstrap, RAW.name, PARTITIONS, ends=False)
    sender = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    got: list[NDArray[np.float64]] = []
    measured_ns = schedule.start_ns + int(WARM_UP_S * 1e9)
    left, deadline = schedule.count, time.monotonic() + _lead_s(schedule.count) + schedule.seconds + PATIENCE_S
    while left and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None or message.error() is not None:
            continue
        at, sent = time.time_ns(), decode_ticks(message.value() or b"").ts_recv
        # What is left of an earlier rate is not ours.
        if sent[0] >= schedule.start_ns:
            left -= len(sent)
            got.append((at - sent[sent >= measured_ns]) / 1e6)
    consumer.close()
    if sender.wait() or left:
        raise RuntimeError(f"{left} of {schedule.count} ticks did not come back; sender: {sender.returncode}")
    return np.concatenate(got)
