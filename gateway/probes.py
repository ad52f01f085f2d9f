"""Asking a process how it is. Every answer is of now; nothing is remembered here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import redis.asyncio
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.exceptions import RedisError

from services.runtime.clock import Clock

_KAFKA_TIMEOUT_S = 1.0

_SAMPLE = re.compile(r"^(?P<name>[a-z_][a-z0-9_]*)(?:\{[^}]*\})? (?P<value>\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a process said. `ready` False with `answers` True: it is there, and something is wrong."""

    answers: bool
    ready: bool
    detail: str = ""
    """Why it is not ready."""
    resident_bytes: int | None = None
    cpu_seconds: float | None = None
    uptime_seconds: float | None = None
    lag_records: int | None = None
    """Records that a stream worker has not read."""


#: Asks one process; raises nothing but cancellation.
Probe = Callable[[], Awaitable[Finding]]


def down(why: str) -> Finding:
    """A process that did not answer."""
    return Finding(answers=False, ready=False, detail=why)


def python_process(session: aiohttp.ClientSession, host: str, port: int, clock: Clock) -> Probe:
    """A process of ours, by its /readyz and /metrics."""

    async def probe() -> Finding:
        try:
            (ready, why), samples = await asyncio.gather(_readiness(session, host, port), _samples(session, host, port))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return down(_reason(error))
        started, lag = samples.get("process_start_time_seconds"), samples.get("signalbox_stream_lag_records")
        resident, cpu = samples.get("process_resident_memory_bytes"), samples.get("process_cpu_seconds_total")
        return Finding(
            answers=True,
            ready=ready,
            detail=why,
            resident_bytes=None if resident is None else int(resident),
            cpu_seconds=cpu,
            uptime_seconds=None if started is None else max(0.0, clock.now_ns() / 1e9 - started),
            lag_records=None if lag is None else int(lag),
        )

    return probe


async def _readiness(session: aiohttp.ClientSession, host: str, port: int) -> tuple[bool, str]:
    async with session.get(f"http://{host}:{port}/readyz") as answer:
        checks = json.loads(await answer.text()).get("checks", {})
        return answer.status == 200, "; ".join(f"{name}: {why}" for name, why in sorted(checks.items()))


async def _samples(session: aiohttp.ClientSession, host: str, port: int) -> dict[str, float]:
    async with session.get(f"http://{host}:{port}/metrics") as answer:
        answer.raise_for_status()
        return sums(await answer.text())


def sums(text: str) -> dict[str, float]:
    """Metrics in Prometheus's text format, each summed over its labels. Raises ValueError for a value that is no number."""
    totals: dict[str, float] = {}
    for sample in _SAMPLE.finditer(text):
        totals[sample["name"]] = totals.get(sample["name"], 0.0) + float(sample["value"])
    return totals


def explained(probe: Probe, name: str, state: Path | None) -> Probe:
    """The same probe; when the process does not answer, it adds what the supervisor says of its end. state: its file, None = there is none."""
    if state is None:
        return probe

    async def ask() -> Finding:
        finding = await probe()
        why = "" if finding.answers else await asyncio.to_thread(_said_of, name, state)
        return replace(finding, detail=f"{finding.detail}; {why}") if why else finding

    return ask


def _said_of(name: str, state: Path) -> str:
    """Empty when nothing is said. The file is replaced as a whole, but goes with the supervisor."""
    try:
        processes = json.loads(state.read_bytes())["processes"]
    except FileNotFoundError:
        return ""
    return next((str(each.get("why", "")) for each in processes if each["name"] == name), "")


def envoy(session: aiohttp.ClientSession, admin_port: int) -> Probe:
    """Envoy, by its admin interface."""

    async def probe() -> Finding:
        admin = f"http://127.0.0.1:{admin_port}"
        try:
            async with session.get(f"{admin}/ready") as answer:
                state = (await answer.text()).strip()
            async with session.get(f"{admin}/stats?format=json&filter=^server\\.(uptime|memory_physical_size)$") as answer:
                stats = {stat["name"]: stat["value"] for stat in (await answer.json(content_type=None))["stats"]}
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            return down(_reason(error))
        return Finding(
            answers=True,
            ready=state == "LIVE",
            detail="" if state == "LIVE" else f"its state is {state}",
            resident_bytes=stats.get("server.memory_physical_size"),
            uptime_seconds=stats.get("server.uptime"),
        )

    return probe


def kafka(bootstrap: str) -> Probe:
    """The Kafka cluster: asks for its nodes."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    async def probe() -> Finding:
        try:
            cluster = await asyncio.to_thread(client.list_topics, timeout=_KAFKA_TIMEOUT_S)
        except KafkaException as error:
            return down(error.args[0].str())
        return Finding(answers=True, ready=bool(cluster.brokers), detail="" if cluster.brokers else "no broker")

    return probe


def valkey(client: redis.asyncio.Redis) -> Probe:
    """Valkey or Redis: asks for its INFO."""

    async def probe() -> Finding:
        try:
            info: Mapping[str, int | float | str] = await client.info()
        except (RedisError, OSError, TimeoutError) as error:
            return down(_reason(error))
        return Finding(
            answers=True,
            ready=not int(info.get("loading", 0)),
            detail="loading its data" if int(info.get("loading", 0)) else "",
            resident_bytes=int(info["used_memory_rss"]),
            cpu_seconds=float(info["used_cpu_sys"]) + float(info["used_cpu_user"]),
            uptime_seconds=float(info["uptime_in_seconds"]),
        )

    return probe


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
