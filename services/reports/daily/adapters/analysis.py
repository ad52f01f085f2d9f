"""The analysis service: indicators and signals of many symbols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc
import numpy as np
from google.rpc import code_pb2
from signalbox.analysis.v1 import analysis_service_pb2 as pb
from signalbox.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from signalbox.market.v1 import market_pb2

from services.reports.daily.adapters.grpc_errors import unavailable
from services.reports.daily.model import CHART_SESSIONS
from services.reports.daily.ports import AnalysisRecord, Failure
from services.reports.daily.recorded import INDICATORS
from services.runtime.timestamps import nanoseconds, timestamp

_NS = 10**9
_MAX_SYMBOLS = 1_000
#: Values kept of each indicator: those of the chart, and some in case that analysis knew a bar more than prices did a moment before.
_KEPT = CHART_SESSIONS + 8


class AnalysesOverGrpc:
    """Analyses. timeout_s: for all symbols of one question."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        self._stub, self._timeout_s = AnalysisServiceStub(channel), timeout_s

    async def analyses(self, symbols: Sequence[str], end_ns: int, most: int) -> AsyncIterator[tuple[str, AnalysisRecord | Failure]]:
        """As the port says."""
        end = timestamp(end_ns)
        template = pb.AnalyzeRequest(interval=market_pb2.INTERVAL_1D, end=end, last=most, indicators=INDICATORS)
        for begin in range(0, len(symbols), _MAX_SYMBOLS):
            request = pb.BatchAnalyzeRequest(symbols=symbols[begin : begin + _MAX_SYMBOLS], template=template)
            try:
                async for answer in self._stub.BatchAnalyze(request, timeout=self._timeout_s):
                    yield answer.symbol, _answer(answer)
            except grpc.aio.AioRpcError as error:
                raise unavailable("analysis", error) from error


def _answer(answer: pb.BatchAnalyzeResponse) -> AnalysisRecord | Failure:
    if answer.HasField("error"):
        return Failure(code_pb2.Code.Name(answer.error.code), answer.error.message)
    found = answer.analysis
    return AnalysisRecord(
        ts_open=np.array([nanoseconds(stamp) for stamp in found.ts_open[-_KEPT:]], np.int64),
        indicators={item.name: np.array(item.values[-_KEPT:], np.float64) for item in found.indicators},
        signal_opens=np.fromiter((nanoseconds(item.ts_open) for item in found.signals), np.int64, len(found.signals)),
        signal_types=tuple(item.type for item in found.signals),
        signal_strengths=np.fromiter((item.strength for item in found.signals), np.float64, len(found.signals)),
        engine_version=found.engine_version,
    )
