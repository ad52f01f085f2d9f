"""The gRPC face of analysis: validate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
from signalbox.analysis.v1 import analysis_service_pb2 as pb
from signalbox.analysis.v1 import analysis_service_pb2_grpc as pb_grpc

from services.analysis import translate
from services.analysis.analyst import Analyst
from services.analysis.domain import Query
from services.runtime.errors import InvalidArgument

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class AnalysisServicer(pb_grpc.AnalysisServiceServicer):
    """Computes on bars of the prices service."""

    def __init__(self, analyst: Analyst) -> None:
        self._analyst = analyst

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        """One series."""
        return pb.AnalyzeResponse(analysis=await self._analyst.analyse(translate.query_of(request)))

    async def BatchAnalyze(self, request: pb.BatchAnalyzeRequest, context: Context) -> AsyncIterator[pb.BatchAnalyzeResponse]:
        """Many series, each answered when it is done."""
        symbols = translate.batch_symbols(request)
        template = translate.template_of(request.template)
        queries = [_query_for(symbol, template) for symbol in symbols]
        async with aclosing(self._analyst.batch(queries)) as outcomes:
            done = 0
            async for position, outcome in outcomes:
                done += 1
                yield translate.batch_response(symbols[position], outcome, done, len(symbols))

    async def ListIndicators(self, request: pb.ListIndicatorsRequest, context: Context) -> pb.ListIndicatorsResponse:
        """The indicators that exist."""
        return translate.indicators_page(request)


def _query_for(symbol: str, template: Query) -> Query | InvalidArgument:
    """A malformed symbol is that symbol's answer and stops no other."""
    try:
        translate.check_symbol("symbols", symbol)
    except InvalidArgument as error:
        return error
    return replace(template, symbol=symbol)
