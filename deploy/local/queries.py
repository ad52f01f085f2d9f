"""The command line's questions to a running system, over gRPC through the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from signalbox.analysis.v1 import analysis_service_pb2 as analysis
from signalbox.analysis.v1 import analysis_service_pb2_grpc as analysis_grpc
from signalbox.market.v1 import market_pb2 as market
from signalbox.prices.v1 import prices_service_pb2 as prices
from signalbox.prices.v1 import prices_service_pb2_grpc as prices_grpc

from deploy.local.errors import SettingError, StackError, Unreachable

#: The short forms.
INTERVALS = {
    "1s": market.INTERVAL_1S,
    "1m": market.INTERVAL_1M,
    "5m": market.INTERVAL_5M,
    "15m": market.INTERVAL_15M,
    "1h": market.INTERVAL_1H,
    "1d": market.INTERVAL_1D,
}

#: Seconds for one question; `Analyze` over a long minute series is the slowest.
DEADLINE_SECONDS = 15.0


def price(address: str, symbol: str) -> dict[str, Any]:
    """The latest price of a symbol. Raises StackError (not known), Unreachable."""
    request = prices.GetPriceRequest(symbol=symbol)
    return _ask(address, lambda channel: prices_grpc.PricesServiceStub(channel).GetPrice(request, timeout=DEADLINE_SECONDS).price)


def bars(address: str, symbol: str, interval: str, last: int) -> dict[str, Any]:
    """The last bars of a series, oldest first. Raises StackError (not known), Unreachable."""
    request = prices.ListBarsRequest(symbol=symbol, interval=interval_of(interval), last=last, page_size=min(last, 5000))
    return _ask(address, lambda channel: prices_grpc.PricesServiceStub(channel).ListBars(request, timeout=DEADLINE_SECONDS))


def analyze(address: str, symbol: str, interval: str, last: int) -> dict[str, Any]:
    """Indicators and signals of a series. Raises StackError (not known), Unreachable."""
    request = analysis.AnalyzeRequest(symbol=symbol, interval=interval_of(interval), last=last)
    return _ask(address, lambda channel: analysis_grpc.AnalysisServiceStub(channel).Analyze(request, timeout=DEADLINE_SECONDS).analysis)


def end_source(address: str, name: str) -> None:
    """Ends a source of ticks in every partition. Raises StackError (malformed name, another open stream of it is of another kind), Unreachable."""
    named = iter([prices.IngestTicksRequest(source=name)])
    _ask(address, lambda channel: prices_grpc.PricesServiceStub(channel).IngestTicks(named, timeout=DEADLINE_SECONDS))


def interval_of(text: str) -> market.Interval:
    """`1m` -> INTERVAL_1M. Raises SettingError."""
    if text not in INTERVALS:
        raise SettingError(f"expected interval in {{{', '.join(INTERVALS)}}}, was {text!r}")
    return INTERVALS[text]


def _ask(address: str, question: Callable[[grpc.Channel], Message]) -> dict[str, Any]:
    with _channel(address) as channel:
        answer = question(channel)
    return MessageToDict(answer, preserving_proto_field_name=True)


@contextmanager
def _channel(address: str) -> Iterator[grpc.Channel]:
    # The edge is on this machine; a proxy in the environment is for the world outside.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise Unreachable.edge(address, (details or code.name).rpartition(": ")[2]) from error
            raise StackError(f"{code.name}: {details}") from error
