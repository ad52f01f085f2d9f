"""The state of the installation: the gateway's status, and the processes' metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
import grpc
from prometheus_client.parser import text_string_to_metric_families
from signalbox.edge.v1 import system_service_pb2 as pb
from signalbox.edge.v1.system_service_pb2_grpc import SystemServiceStub

from services.reports.daily.adapters.grpc_errors import unavailable
from services.reports.daily.model import ProcessRow
from services.reports.daily.recorded import MetricSample, SystemRecord
from services.reports.daily.system_page import is_recorded

_HEALTH = {pb.PROCESS_HEALTH_READY: "ready", pb.PROCESS_HEALTH_NOT_READY: "not ready", pb.PROCESS_HEALTH_DOWN: "down"}
_METRICS_TIMEOUT_S = 3.0


class RunningInstallation:
    """Installation. ports: of the processes' metrics, by name. timeout_s: for the gateway's answer."""

    def __init__(self, channel: grpc.aio.Channel, host: str, ports: Mapping[str, int], timeout_s: float) -> None:
        self._stub, self._host, self._ports, self._timeout_s = SystemServiceStub(channel), host, ports, timeout_s

    async def status(self) -> SystemRecord:
        """As the port says."""
        try:
            found = await self._stub.GetSystemStatus(pb.GetSystemStatusRequest(), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise unavailable("gateway", error) from error
        return SystemRecord(
            version=found.version,
            measured_ns=found.measured_at.ToNanoseconds(),
            ticks_per_second=found.ticks_per_second,
            messages_per_second=found.messages_per_second,
            subscribers=found.subscribers,
            ticks_lag=found.ticks_lag if found.HasField("ticks_lag") else None,
            bars_lag=found.bars_lag if found.HasField("bars_lag") else None,
            processes=tuple(_process(item) for item in found.processes),
        )

    async def metrics(self) -> tuple[Sequence[MetricSample], Mapping[str, str]]:
        """As the port says."""
        timeout = aiohttp.ClientTimeout(total=_METRICS_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            answers = await asyncio.gather(*(self._text(session, port) for port in self._ports.values()), return_exceptions=True)
        samples: list[MetricSample] = []
        silent: dict[str, str] = {}
        for name, answer in zip(self._ports, answers, strict=True):
            if isinstance(answer, aiohttp.ClientError | TimeoutError | ValueError):
                silent[name] = str(answer) or type(answer).__name__
            elif isinstance(answer, BaseException):
                raise answer
            else:
                samples += _samples(name, answer)
        return samples, silent

    async def _text(self, session: aiohttp.ClientSession, port: int) -> str:
        async with session.get(f"http://{self._host}:{port}/metrics") as answer:
            answer.raise_for_status()
            return await answer.text()


def _process(item: pb.ProcessStatus) -> ProcessRow:
    return ProcessRow(
        name=item.name,
        health=_HEALTH.get(item.health, "unknown"),
        detail=item.detail,
        resident_bytes=item.resident_bytes if item.HasField("resident_bytes") else None,
        cpu_seconds=item.cpu_seconds if item.HasField("cpu_seconds") else None,
        uptime_seconds=item.uptime_seconds if item.HasField("uptime_seconds") else None,
        response_ms=item.response_ms,
    )


def _samples(process: str, text: str) -> list[MetricSample]:
    return [
        MetricSample(process, sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if is_recorded(sample.name)
    ]
