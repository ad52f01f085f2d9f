"""What tracing costs the whole path: CPU of all its processes at 10,000 ticks a second, off and at the default ratio.

Ticks go to IngestTicks through the edge, and prices begins a trace with each batch as a feed does, every 5 ms on a schedule that waits for nobody; a
WebSocket client reads bars, indicators and signals, and asks for prices, so that Envoy's own spans are there too. Each run has a stack of its own:
prices, both workers, the gateway and Envoy are weighed together, the broker and the client are not. The ways take turns, in pairs whose order changes,
because the machine is not the same for two minutes. BENCH_SECONDS: of each run, 15; the 3 before them are not measured.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import picows
import pytest
import uvloop
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from tests.bench.results import Result
from tests.bench.schedule import FLUSH_S, PRICE_DIGITS, Schedule
from tests.bench.stack import Stack, running_stack
from tests.otlp_receiver import Receiver, otlp_receiver

RATE, SYMBOLS = 10_000, 500
SECONDS = float(os.environ.get("BENCH_SECONDS") or 15)
WARM_UP_S = 3.0
#: Time to connect.
LEAD_S = 3.0
PAIRS = 2
#: The most that tracing at its default ratio may cost.
AIM = 1.05
#: Between two unary calls.
CALL_EVERY_S = 0.02
#: Who must have sent spans, or something else was measured.
RECORDING = {"prices", "prices-worker", "analysis-worker", "gateway", "envoy"}

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SUBSCRIBE = (
    b'{"action":"subscribe","live_bars":["*"],"interval":"1m"}',
    b'{"action":"subscribe","bars":["*"],"indicators":["*"],"signals":["*"],"interval":"1s"}',
)


def run() -> list[Result]:
    """The cost of all, against the aim; of each process, against itself without tracing."""
    runs: dict[str, list[Counter[str]]] = {"off": [], "default": []}
    with otlp_receiver() as (receiver, endpoint):
        for pair in range(PAIRS):
            for way in sorted(runs, reverse=pair % 2 == 0):
                runs[way].append(_cores(endpoint if way == "default" else ""))
        _check(receiver)
    return _results(runs["off"], runs["default"])


def _results(off: list[Counter[str]], default: list[Counter[str]]) -> list[Result]:
    before, after = (sum(each, Counter()) for each in (off, default))
    totals = [each.total() for each in off]
    return [
        Result("tracing.path_cpu_share", after.total() / before.total(), "of the CPU without tracing", "the aim", AIM, higher_is_better=False),
        Result("tracing.path_cpu_spread", max(totals) / min(totals), "most by least of the runs without tracing", higher_is_better=False),
        *(Result(f"tracing.path_cpu.{name}", after[name] / PAIRS, "cores", "off", cores / PAIRS, False) for name, cores in before.items()),
    ]


def _check(receiver: Receiver) -> None:
    if missing := RECORDING - {span.process for span in receiver.spans()}:
        raise RuntimeError(f"no spans came from {', '.join(sorted(missing))}")


def _cores(endpoint: str) -> Counter[str]:
    """Cores that each process took in one run. endpoint: of the receiver; empty is without tracing."""
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(_ENDPOINT, endpoint)
        with running_stack(Path(folder)) as stack:
            return uvloop.run(_load(stack))


async def _load(stack: Stack) -> Counter[str]:
    schedule = Schedule(RATE, WARM_UP_S + SECONDS, SYMBOLS, 0, int(time.time() + LEAD_S + RATE * SECONDS / 50_000) * 1_000_000_000)
    messages = _messages(schedule)
    transport, listener = await picows.ws_connect(_Client, f"ws://{stack.edge}/v1/stream")
    assert isinstance(listener, _Client)
    async with grpc.aio.insecure_channel(stack.edge) as edge:
        sending = asyncio.create_task(_send(edge, schedule, messages))
        await _until(schedule.start_ns / 1e9 + WARM_UP_S)
        before, began = stack.cpu_seconds(), time.monotonic()
        await _ask(edge, schedule, time.monotonic() + SECONDS)
        seconds, after = time.monotonic() - began, stack.cpu_seconds()
        await sending
    if listener.ended is not None:
        raise RuntimeError(f"the client was disconnected: {listener.ended}")
    transport.disconnect()
    return Counter({name: (after[name] - before[name]) / seconds for name in after})


def _messages(schedule: Schedule) -> list[bytes]:
    """What is due in each turn, encoded beforehand."""
    scale = 10.0**PRICE_DIGITS
    turns = (schedule.sent_ns - schedule.start_ns) // int(FLUSH_S * 1e9)
    return [_message(schedule, rows, scale) for rows in np.split(np.arange(schedule.count), np.flatnonzero(np.diff(turns)) + 1)]


def _message(schedule: Schedule, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], scale: float) -> bytes:
    message = pb.IngestTicksRequest(source=schedule.source)
    for row in rows.tolist():
        name, price, size = schedule.names[schedule.symbol[row]], float(schedule.price[row]) / scale, float(schedule.size[row])
        message.ticks.add(symbol=name, price=price, size=size, seq=row + 1).ts_event.FromNanoseconds(int(schedule.sent_ns[row]))
    return message.SerializeToString()


async def _send(channel: grpc.aio.Channel, schedule: Schedule, messages: list[bytes]) -> None:
    """Raises RuntimeError when it was not ready at the start, or a tick was not taken."""
    if time.time_ns() > schedule.start_ns:
        raise RuntimeError("the schedule was not ready in time")

    async def due() -> AsyncIterator[bytes]:
        for turn, message in enumerate(messages):
            await _until(schedule.start_ns / 1e9 + (turn + 1) * FLUSH_S)
            yield message

    ingest: grpc.aio.StreamUnaryMultiCallable[bytes, pb.IngestTicksResponse] = channel.stream_unary(
        "/signalbox.prices.v1.PricesService/IngestTicks", response_deserializer=pb.IngestTicksResponse.FromString
    )
    answer = await ingest(due(), timeout=schedule.seconds + 60)
    if answer.accepted != schedule.count:
        raise RuntimeError(f"{answer.accepted} of {schedule.count} ticks were taken; {list(answer.rejections[:1])}")


async def _ask(channel: grpc.aio.Channel, schedule: Schedule, deadline: float) -> None:
    """Unary calls until then, time.monotonic()."""
    prices, number = PricesServiceStub(channel), 0
    while time.monotonic() < deadline:
        await prices.GetPrice(pb.GetPriceRequest(symbol=schedule.names[number % SYMBOLS]), timeout=20)
        number += 1
        await asyncio.sleep(CALL_EVERY_S)


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - time.time()))


class _Client(picows.WSListener):
    """Reads and forgets."""

    ended: str | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        for request in _SUBSCRIBE:
            transport.send(picows.WSMsgType.TEXT, request)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            self.ended = f"{frame.get_close_code()} {frame.get_close_message()!r}"

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.ended = self.ended or "disconnected"
