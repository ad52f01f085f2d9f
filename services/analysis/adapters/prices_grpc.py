"""The prices service: bars over StreamBars, and whether it is there."""

import asyncio
from collections.abc import Sequence

import grpc
import numpy as np
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.analysis.domain import History
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument, NotFound, SignalboxError, Unavailable
from services.runtime.timestamps import nanoseconds, timestamp

_NS = 10**9
#: Between two questions, and for an answer.
_HEALTH_INTERVAL_S, _HEALTH_TIMEOUT_S = 1.0, 1.0
#: Bars that are read in less than a millisecond.
_FEW_BARS = 200
_INTERVALS = {1: market_pb2.INTERVAL_1S, 60: market_pb2.INTERVAL_1M, 86400: market_pb2.INTERVAL_1D}
_NAMES = {1: "1s", 60: "1m", 86400: "1d"}


class PricesBars:
    """BarSource. timeout_s: for one whole answer, seconds; a caller that goes away sooner cancels it."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        self._stub, self._timeout_s = PricesServiceStub(channel), timeout_s

    async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
        """As BarSource says."""
        request = pb.StreamBarsRequest(symbol=symbol, interval=_INTERVALS[interval_s])
        if start_ns is not None:
            request.start.CopyFrom(timestamp(start_ns))
        parts: list[History] = []
        origin_ns = 0
        try:
            async for response in self._stub.StreamBars(request, timeout=self._timeout_s):
                origin_ns = nanoseconds(response.origin_ts)
                parts.append(await _read(response.bars))
        except grpc.aio.AioRpcError as error:
            raise _mapped(error, symbol, interval_s) from error
        if not parts:
            raise Unavailable("prices", f"no answer for {symbol} {_NAMES[interval_s]}")
        return _joined(parts), origin_ns


def _mapped(error: grpc.aio.AioRpcError, symbol: str, interval_s: int) -> SignalboxError:
    detail = error.details() or error.code().name
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return NotFound("bars", f"{symbol} {_NAMES[interval_s]}")
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument("symbol", symbol, f"one that the prices service takes ({detail})")
    return Unavailable("prices", f"{error.code().name}: {detail}")


async def _read(bars: Sequence[market_pb2.Bar]) -> History:
    """On the event loop for the few new bars of a known series; in a thread for a part of a whole one, as sixteen of them in a row would hold the loop up."""
    return _history(bars) if len(bars) <= _FEW_BARS else await asyncio.to_thread(_history, bars)


def _history(bars: Sequence[market_pb2.Bar]) -> History:
    count = len(bars)
    # One pass over wrappers that are kept; asking the repeated field for each column again would make them anew.
    rows = list(bars)
    return History(
        ts_open=np.fromiter((nanoseconds(bar.ts_open) for bar in rows), np.int64, count),
        ts_close=np.fromiter((nanoseconds(bar.ts_close) for bar in rows), np.int64, count),
        open=np.fromiter((bar.open for bar in rows), np.float64, count),
        high=np.fromiter((bar.high for bar in rows), np.float64, count),
        low=np.fromiter((bar.low for bar in rows), np.float64, count),
        close=np.fromiter((bar.close for bar in rows), np.float64, count),
        volume=np.fromiter((bar.volume for bar in rows), np.float64, count),
        source_kind=np.fromiter((bar.source_kind for bar in rows), np.int32, count),
    )


def _joined(parts: Sequence[History]) -> History:
    if len(parts) == 1:
        return parts[0]
    return History(*(np.concatenate([getattr(part, column) for part in parts]) for column in History.__slots__))


class PricesHealth:
    """Whether the prices service answers, asked for once a second."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._stub, self._clock = HealthStub(channel), clock
        self._why_not: str | None = "the prices service was not asked yet"

    def check(self) -> str | None:
        """None when it answered last time, otherwise why not. Safe from any thread."""
        return self._why_not

    async def follow(self) -> None:
        """Keeps asking, for ever."""
        while True:
            self._why_not = await self._ask()
            await self._clock.sleep(_HEALTH_INTERVAL_S)

    async def _ask(self) -> str | None:
        try:
            answer = await self._stub.Check(HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return f"the prices service does not answer: {error.code().name}"
        return None if answer.status == HealthCheckResponse.SERVING else "the prices service is not ready"
