"""Health of the other services, as the gateway tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from structlog.testing import capture_logs

from gateway.grpc_server import AllHealth
from services.runtime.testing import ManualClock

NAME = "signalbox.prices.v1.PricesService"


class Channel:
    """Answers each call with the next of its outcomes."""

    def __init__(self, *outcomes: grpc.StatusCode | HealthCheckResponse) -> None:
        self._outcomes = list(outcomes)

    def unary_unary(self, *_: Any, **__: Any) -> Callable[..., Awaitable[HealthCheckResponse]]:
        async def call(_request: HealthCheckRequest, timeout: float) -> HealthCheckResponse:
            outcome = self._outcomes.pop(0)
            if isinstance(outcome, grpc.StatusCode):
                raise grpc.aio.AioRpcError(outcome, grpc.aio.Metadata(), grpc.aio.Metadata(), details="for a reason")
            return outcome

        return call

    def unary_stream(self, *_: Any, **__: Any) -> None:
        """Never asked."""


async def test_why_a_service_does_not_say_how_it_is_is_told_once_for_each_reason() -> None:
    serving = HealthCheckResponse(status=HealthCheckResponse.SERVING)
    away, slow = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
    channel = Channel(away, away, slow, serving, away)
    health = AllHealth({}, {NAME: cast("grpc.aio.Channel", channel)}, ManualClock())
    with capture_logs() as logs:
        answers = [await health.Check(HealthCheckRequest(service=NAME), cast("Any", None)) for _ in range(5)]
    assert [HealthCheckResponse.ServingStatus.Name(answer.status) for answer in answers] == [*["NOT_SERVING"] * 3, "SERVING", "NOT_SERVING"]
    assert [(line["service"], line["code"], line["reason"]) for line in logs] == [
        (NAME, code, "for a reason") for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAVAILABLE")
    ]
