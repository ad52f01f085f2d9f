"""SystemService: how everything is, by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc
from signalbox.edge.v1 import system_service_pb2 as edge
from signalbox.edge.v1 import system_service_pb2_grpc as edge_grpc

from gateway.hub.hub import Hub
from gateway.hub.intake import Intake
from gateway.probes import Finding, Probe, down
from services.runtime.clock import Clock

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = edge.DESCRIPTOR.services_by_name["SystemService"].full_name

#: A process that takes longer is down for a person who looks.
_TIMEOUT_S = 1.5
#: Callers within this time share one answer, so that many open pages do not multiply the questions.
_SHARED_S = 0.5


class SystemService(edge_grpc.SystemServiceServicer):
    """probes: by the name of the process, in the order of the answer."""

    def __init__(self, probes: Mapping[str, Probe], hub: Hub, intake: Intake, clock: Clock, version: str) -> None:
        self._probes = probes
        self._hub, self._intake = hub, intake
        self._clock = clock
        self._version = version
        self._asking = asyncio.Lock()
        self._answer: tuple[int, edge.GetSystemStatusResponse] | None = None

    async def GetSystemStatus(self, request: edge.GetSystemStatusRequest, context: Context) -> edge.GetSystemStatusResponse:
        """The state of every process, asked now or at most half a second ago."""
        async with self._asking:
            now = self._clock.monotonic_ns()
            if self._answer is None or now - self._answer[0] > _SHARED_S * 1e9:
                self._answer = (now, await self._ask())
            return self._answer[1]

    async def _ask(self) -> edge.GetSystemStatusResponse:
        asked = await asyncio.gather(*(self._ask_one(probe) for probe in self._probes.values()))
        found = dict(zip(self._probes, asked, strict=True))
        response = edge.GetSystemStatusResponse(
            processes=[_status(name, finding, seconds) for name, (finding, seconds) in found.items()],
            ticks_per_second=self._intake.tick_rate.per_second(),
            messages_per_second=self._hub.message_rate.per_second(),
            subscribers=self._hub.connections,
            ticks_lag=_lag(found, "prices-worker"),
            bars_lag=_lag(found, "analysis-worker"),
            version=self._version,
        )
        response.measured_at.FromNanoseconds(self._clock.now_ns())
        return response

    async def _ask_one(self, probe: Probe) -> tuple[Finding, float]:
        """The finding and the seconds it took."""
        began = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                finding = await probe()
        except TimeoutError:
            finding = down(f"no answer within {_TIMEOUT_S:g} s")
        return finding, (self._clock.monotonic_ns() - began) / 1e9


def _lag(found: Mapping[str, tuple[Finding, float]], name: str) -> int | None:
    return found[name][0].lag_records if name in found else None


def _status(name: str, finding: Finding, seconds: float) -> edge.ProcessStatus:
    return edge.ProcessStatus(
        name=name,
        health=_health(finding),
        detail=finding.detail,
        resident_bytes=finding.resident_bytes,
        cpu_seconds=finding.cpu_seconds,
        uptime_seconds=finding.uptime_seconds,
        response_ms=seconds * 1e3,
    )


def _health(finding: Finding) -> edge.ProcessHealth:
    if not finding.answers:
        return edge.PROCESS_HEALTH_DOWN
    return edge.PROCESS_HEALTH_READY if finding.ready else edge.PROCESS_HEALTH_NOT_READY
