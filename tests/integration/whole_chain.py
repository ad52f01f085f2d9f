"""Every process of the product but the feeds, on a broker and an Envoy of its own; each can be ended and started again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import numpy as np
import orjson

from services.prices.sessions import SessionTable
from services.runtime.columns import TickColumns, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.topics import TICKS
from tests.bench.schedule import Schedule, due
from tests.integration.edge_servers import edge_settings, running_envoy
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import new_broker

PARTITIONS = 4
MODULES = {
    "prices": "services.prices",
    "prices-worker": "services.prices.worker",
    "analysis-worker": "services.analysis.worker",
    "gateway": "gateway",
}
SECOND_NS = 1_000_000_000

#: Symbol and open time, UTC milliseconds.
Identity = tuple[str, int]


class WholeChain:
    """Use as a context manager; processes are started with `start`. settings: environment of all of them."""

    def __init__(self, home: Path, **settings: str) -> None:
        self._home, self._stack = home, ExitStack()
        self._edge, self._envoys = edge_settings(), 0
        self._envoy = ExitStack()
        self._metrics = dict(zip(MODULES, free_ports(len(MODULES)), strict=True))
        self._settings = settings
        self.broker = new_broker(home)
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> WholeChain:
        tables = self._home / "tables"
        tables.mkdir(parents=True)
        SessionTable.utc_only().save(tables / "sessions.npz")
        self._stack.enter_context(self.broker)
        ensure_topics(self.broker.bootstrap, PARTITIONS)
        self._stack.callback(self._end_processes)
        self._stack.enter_context(self._envoy)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def edge(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._edge.edge_port}"

    @property
    def prices_address(self) -> str:
        """HOST:PORT of the prices service itself."""
        return f"127.0.0.1:{self._edge.prices_port}"

    def start(self, *names: str) -> None:
        """Starts processes; returns when all of them are ready."""
        for name in names:
            self.processes[name] = Process([MODULES[name]], self._home / f"{name}.log", self._metrics[name], self._environment())
        for name in names:
            self.processes[name].wait_ready()

    def start_envoy(self) -> None:
        """Starts Envoy, or ends the one that runs and starts another."""
        self._envoy.close()
        self._envoys += 1
        folder = self._home / f"envoy-{self._envoys}"
        folder.mkdir()
        self._envoy.enter_context(running_envoy(folder, self._edge))

    def _environment(self) -> dict[str, str]:
        edge = self._edge
        ports = {"PRICES": edge.prices_port, "GATEWAY": edge.gateway_port, "GATEWAY_WEB": edge.gateway_web_port, "GATEWAY_WS": edge.gateway_ws_port}
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "SIGNALBOX_HOME": str(self._home),
            "SIGNALBOX_PARTITIONS": str(PARTITIONS),
            **{f"SIGNALBOX_{name}_PORT": str(port) for name, port in ports.items()},
            **{f"SIGNALBOX_{name.upper().replace('-', '_')}_METRICS_PORT": str(port) for name, port in self._metrics.items()},
            **self._settings,
        }

    def _end_processes(self) -> None:
        for process in self.processes.values():
            process.end()


def places(schedule: Schedule) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The partition of each tick."""
    return np.array([partition_of(name, PARTITIONS) for name in schedule.names], np.int64)[schedule.symbol]


def volumes(schedule: Schedule, count: int) -> Counter[Identity]:
    """Volume of each one-second bar of the first `count` ticks."""
    found: Counter[Identity] = Counter()
    columns = (schedule.symbol[:count].tolist(), (schedule.sent_ns[:count] // SECOND_NS * 1_000).tolist(), schedule.size[:count].tolist())
    for symbol, second, size in zip(*columns, strict=True):
        found[schedule.names[symbol], second] += size
    return found


class Load:
    """Sends a schedule as it falls due, from a thread, until `settle`. Use as a context manager."""

    def __init__(self, bootstrap: str, rate: int, symbols: int) -> None:
        self.schedule = Schedule(rate, 600.0, symbols, 0, (time.time_ns() // SECOND_NS + 2) * SECOND_NS)
        self._places = places(self.schedule)
        self._producer = make_producer(bootstrap)
        self._stop, self._sent = threading.Event(), 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def settle(self) -> Counter[Identity]:
        """Ends the source; the volume of each one-second bar that must come of it."""
        self._stop.set()
        self._thread.join()
        for partition in range(PARTITIONS):
            self._produce(partition, self.schedule.end())
        assert self._producer.flush(30) == 0
        return volumes(self.schedule, self._sent)

    def _run(self) -> None:
        for rows in due(self.schedule):
            for partition in range(PARTITIONS):
                if len(part := rows[self._places[rows] == partition]):
                    self._produce(partition, self.schedule.columns(part))
            self._sent += len(rows)
            if self._stop.is_set():
                return

    def _produce(self, partition: int, columns: TickColumns) -> None:
        headers: list[tuple[str, str | bytes | None]] = list(record_headers(TICKS.message, f"{self.schedule.source}/{partition}"))
        self._producer.produce(TICKS.name, encode_ticks(columns), partition=partition, headers=headers)
        self._producer.poll(0)


class Subscriber:
    """A client as its users write it: subscribes to final bars with their history, and does so again whenever the connection ends."""

    def __init__(self, edge: str) -> None:
        self._url = f"ws://{edge}/v1/stream"
        self.bars: dict[Identity, int] = {}
        """Volume of each bar, however often it came."""
        self.connections = 0
        self.warnings = 0
        """Times it was told that the server goes away."""

    async def run(self) -> None:
        """For ever."""
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.ws_connect(self._url, max_msg_size=0) as socket:
                        await self._listen(socket)
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(0.2)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.connections += 1
        await socket.send_json({"action": "subscribe", "bars": ["*"], "interval": "1s", "history": 1000})
        async for frame in socket:
            for message in orjson.loads(frame.data):
                assert message["T"] not in ("error", "gap"), message
                self.warnings += message["T"] == "going_away"
                if message["T"] == "bar":
                    self._keep((message["S"], message["t"]), round(message["v"]))

    def _keep(self, identity: Identity, volume: int) -> None:
        assert self.bars.setdefault(identity, volume) == volume, f"{identity}: was {self.bars[identity]}, came again as {volume}"
