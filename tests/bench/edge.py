"""GetPrice through the edge, against a bare grpc.aio server that answers with the same message, without Envoy and without anything around the call.

The same client, in a process of its own, for both; they take turns, and the middle round of each counts. `unary_per_s` is the most that each door
gives, of several numbers of calls under way; each of these is there as well. With few under way, three processes wait for each other where the bare
server's two do not, and what is measured is the time of a call, not what the doors can take. CPU is that of the server's side: prices and Envoy, and the
bare server. BENCH_ROUND_SECONDS: length of a round, 2.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import psutil
import uvloop
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1 import prices_service_pb2_grpc as pb_grpc

from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.partitions import partition_of
from services.runtime.topics import SNAPSHOTS
from tests.bench.results import Result
from tests.bench.stack import PARTITIONS, Stack, running_stack
from tests.servers import REPOSITORY

SYMBOL = "TEST.XSIM"
#: An odd number. Other work on the machine slows one round and not the next; at three, one disturbed round of the reference more made the ratio.
ROUNDS = 5
ROUND_S = float(os.environ.get("BENCH_ROUND_SECONDS") or 2)
#: Calls under way at once.
CONCURRENCIES = (1, 32, 64, 128, 256)
#: Those of the figures of time and CPU; one at a time is there apart.
USUAL = 32
REFERENCE = "bare grpc.aio, same message, no Envoy"


@dataclass(frozen=True, slots=True)
class Round:
    """What a client saw in one round, and what its servers used."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU microseconds of the servers for each call."""
    client_us: float
    """CPU microseconds of the client for each call."""


def run() -> list[Result]:
    """Calls a second, times and CPU at both doors."""
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as folder, ExitStack() as stack:
        product = stack.enter_context(running_stack(Path(folder), ("prices",)))
        _put_price(product.bootstrap)
        answer = _wait_for_price(product.edge)
        bare = stack.enter_context(_Bare(answer))
        doors = {"edge": (product.edge, _pids(product)), "bare": (bare.address, [bare.pid])}
        rounds: dict[tuple[str, int], list[Round]] = {(name, concurrency): [] for name in doors for concurrency in CONCURRENCIES}
        for _ in range(ROUNDS):
            for concurrency in CONCURRENCIES:
                for name, (address, pids) in doors.items():
                    rounds[name, concurrency].append(_round(address, pids, concurrency))
    return _results(rounds)


def _results(rounds: dict[tuple[str, int], list[Round]]) -> list[Result]:
    def middle(door: str, field: str, concurrency: int) -> float:
        return float(median(getattr(each, field) for each in rounds[door, concurrency]))

    def figure(name: str, unit: str, field: str, concurrency: int, *, better: bool = False) -> Result:
        return Result(f"edge.{name}", middle("edge", field, concurrency), unit, REFERENCE, middle("bare", field, concurrency), better)

    most, most_bare = (max(middle(door, "per_s", concurrency) for concurrency in CONCURRENCIES) for door in ("edge", "bare"))
    return [
        Result("edge.unary_per_s", most, "calls/s", REFERENCE, most_bare, higher_is_better=True),
        *(figure(f"unary_per_s.{concurrency}", "calls/s", "per_s", concurrency, better=True) for concurrency in CONCURRENCIES),
        figure("unary_p50_ms", "ms", "p50_ms", USUAL),
        figure("unary_p99_ms", "ms", "p99_ms", USUAL),
        *(figure(f"unary_server_us.{concurrency}", "microseconds of CPU", "server_us", concurrency) for concurrency in (USUAL, CONCURRENCIES[-1])),
        figure("unary_client_us", "microseconds of CPU", "client_us", USUAL),
        figure("unary_single_p50_ms", "ms", "p50_ms", 1),
        figure("unary_single_p99_ms", "ms", "p99_ms", 1),
    ]


def _pids(product: Stack) -> list[int]:
    return [product.processes["prices"].pid, product.envoy_pid]


def _put_price(bootstrap: str) -> None:
    now = time.time_ns()
    instrument = Instrument(symbol=SYMBOL, price_digits=2, size_digits=0)
    snapshot = Snapshot(instrument=instrument, price=12_345, size=3, ts_event=now, ts_recv=now, source_kind="SOURCE_KIND_SYNTHETIC")
    headers = record_headers(SNAPSHOTS.message, "bench")
    producer = make_producer(bootstrap)
    producer.produce(SNAPSHOTS.name, snapshot.SerializeToString(), SYMBOL.encode(), partition_of(SYMBOL, PARTITIONS), headers=list(headers))
    producer.flush()


def _wait_for_price(address: str) -> pb.GetPriceResponse:
    with grpc.insecure_channel(address) as channel:
        stub, end = pb_grpc.PricesServiceStub(channel), time.monotonic() + 30
        while True:
            try:
                return stub.GetPrice(pb.GetPriceRequest(symbol=SYMBOL), timeout=5)
            except grpc.RpcError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def _round(address: str, pids: list[int], concurrency: int) -> Round:
    cpu = _cpu(pids)
    command = [sys.executable, "-m", "tests.bench.edge", "client", address, str(concurrency)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=ROUND_S + 60)
    seen = json.loads(done.stdout)
    return Round(seen["per_s"], seen["p50_ms"], seen["p99_ms"], (_cpu(pids) - cpu) * 1e6 / seen["calls"], seen["client_us"])


def _cpu(pids: list[int]) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


class _Bare:
    """The reference's server, a process."""

    def __init__(self, answer: pb.GetPriceResponse) -> None:
        self._answer = answer

    def __enter__(self) -> _Bare:
        command = [sys.executable, "-m", "tests.bench.edge", "server", self._answer.SerializeToString().hex()]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address, self.pid = f"127.0.0.1:{int(self._process.stdout.readline())}", self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


# -- in processes of their own


async def _serve(answer: pb.GetPriceResponse) -> None:
    async def get_price(request: pb.GetPriceRequest, context: Any) -> pb.GetPriceResponse:
        return answer

    handler = grpc.unary_unary_rpc_method_handler(
        get_price, request_deserializer=pb.GetPriceRequest.FromString, response_serializer=pb.GetPriceResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_registered_method_handlers("signalbox.prices.v1.PricesService", {"GetPrice": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def _load(address: str, concurrency: int) -> None:
    request, seconds = pb.GetPriceRequest(symbol=SYMBOL), array("d")
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.PricesServiceStub(channel)

        async def call(end: float) -> None:
            while (began := time.perf_counter()) < end:
                await stub.GetPrice(request)
                seconds.append(time.perf_counter() - began)

        # The connection and the servers' first calls are not measured.
        await call(time.perf_counter() + 0.3)
        seconds = array("d")
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(call(began + ROUND_S) for _ in range(concurrency)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    ordered, calls = sorted(seconds), len(seconds)
    times = {f"p{percent}_ms": 1e3 * ordered[calls * percent // 100] for percent in (50, 99)}
    print(json.dumps({"calls": calls, "per_s": calls / took, "client_us": cpu * 1e6 / calls, **times}))


def main(arguments: list[str]) -> None:
    """`server ANSWER` or `client ADDRESS CONCURRENCY`."""
    if arguments[0] == "server":
        uvloop.run(_serve(pb.GetPriceResponse.FromString(bytes.fromhex(arguments[1]))))
    else:
        uvloop.run(_load(arguments[1], int(arguments[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
