"""Rates, the hand-over, the probes' parser, the render, what is imported."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gateway.descriptors import descriptor_set, services
from gateway.edge.clusters import resource_path
from gateway.edge.render import main, render
from gateway.edge.settings import EdgeSettings
from gateway.hub.blocks import Block
from gateway.hub.events import Event
from gateway.hub.handover import Handover
from gateway.hub.rates import Rate
from gateway.hub.series import Channel, SeriesKey
from gateway.hub.tables import Table
from gateway.probes import sums
from services.runtime.testing import ManualClock, eventually


def test_a_rate_is_that_of_the_last_full_second() -> None:
    clock = ManualClock()
    rate = Rate(clock)
    rate.add(5)
    assert rate.per_second() == 0
    clock.advance(1.0)
    rate.add(2)
    assert rate.per_second() == 5
    clock.advance(1.0)
    assert rate.per_second() == 2
    clock.advance(5.0)
    assert rate.per_second() == 0


def test_metrics_are_summed_over_labels() -> None:
    text = '# HELP lag x\n# TYPE lag gauge\nlag{topic="a",partition="0"} 3.0\nlag{topic="a",partition="1"} 4.0\nprocess_cpu_seconds_total 1.5e+01\n'
    assert sums(text) == {"lag": 7.0, "process_cpu_seconds_total": 15.0}


def _block(number: int, rows: int = 1) -> Block:
    return Block(SeriesKey(Channel.BARS, f"S{number}.X", 60), np.zeros((rows, 1), np.int64))


def _put_all(handover: Handover, blocks: list[Block]) -> None:
    for block in blocks:
        handover.put([block])


async def test_the_handover_keeps_order_and_holds_a_fast_reader() -> None:
    taken: list[Block | Table | Event] = []
    handover = Handover(asyncio.get_running_loop(), taken.append)
    sent = [_block(number, 900) for number in range(300)]
    reader = threading.Thread(target=_put_all, args=(handover, sent))
    reader.start()
    await eventually(lambda: len(taken) == 300)
    reader.join()
    assert [block.key for block in taken if isinstance(block, Block)] == [block.key for block in sent]
    assert handover.waiting() == 0


async def test_a_closed_handover_lets_its_reader_go() -> None:
    handover = Handover(asyncio.get_running_loop(), lambda block: None)
    reader = threading.Thread(target=_put_all, args=(handover, [_block(number, 30_000) for number in range(9)]))
    reader.start()
    handover.close()
    await asyncio.to_thread(reader.join, 5)
    assert not reader.is_alive()


def _live_table(number: int) -> Table:
    return Table(Channel.LIVE_BARS, (f"S{number}.X",), np.zeros(1, np.int64), np.full(1, 60, np.int64), np.zeros((1, 15), np.int64))


async def test_what_is_live_does_not_wait_behind_what_is_final_nor_holds_it_up() -> None:
    taken: list[Block | Table | Event] = []
    handover = Handover(asyncio.get_running_loop(), taken.append, ManualClock())
    tables, blocks = [_live_table(number) for number in range(3)], [_block(number) for number in range(100)]
    handover.put([*blocks, *tables])
    await eventually(lambda: len(taken) == 103)
    assert [rows for rows in taken if isinstance(rows, Table)] == tables
    assert [rows for rows in taken if isinstance(rows, Block)] == blocks
    places = [place for place, rows in enumerate(taken) if isinstance(rows, Table)]
    assert places[0] == 0
    assert 1 < places[1] < places[2] < 50


async def test_the_handover_gives_others_a_turn() -> None:
    clock, turns, taken = ManualClock(), [], []
    loop = asyncio.get_running_loop()

    def slow(rows: Block | Table | Event) -> None:
        taken.append(rows)
        clock.advance(0.003)
        loop.call_soon(lambda: turns.append(len(taken)))

    handover = Handover(loop, slow, clock)
    handover.put([_block(number) for number in range(5)])
    await eventually(lambda: len(turns) == 5)
    assert turns == [1, 2, 3, 4, 5]


def test_render_writes_what_envoy_reads(tmp_path: Path) -> None:
    versions = render(EdgeSettings(), tmp_path)
    assert versions == render(EdgeSettings(), tmp_path)
    bootstrap = json.loads((tmp_path / "envoy.json").read_text())
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    for name, version in versions.items():
        assert json.loads(resource_path(tmp_path, name).read_text())["version_info"] == version
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    clusters = {resource["name"] for resource in json.loads(resource_path(tmp_path, "cds.json").read_text())["resources"]}
    routes = json.loads(resource_path(tmp_path, "rds.json").read_text())["resources"][0]["virtual_hosts"][0]["routes"]
    assert {route["route"]["cluster"] for route in routes if "route" in route} == clusters


def test_a_wrong_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_EDGE_PORT", "eighty")
    with pytest.raises(SystemExit) as caught:
        main(["--out", str(tmp_path)])
    assert caught.value.code == 2
    assert "SIGNALBOX_EDGE_PORT: was 'eighty'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_descriptor_set_holds_every_service_and_the_details_of_errors() -> None:
    data = descriptor_set()
    ours = ("prices.v1.Prices", "analysis.v1.Analysis", "news.v1.News", "reports.v1.Jobs", "reports.v1.Schedule", "reports.v1.Reports")
    expected = ["google.longrunning.Operations", *(f"signalbox.{name}Service" for name in (*ours, "edge.v1.Subscription", "edge.v1.System"))]
    assert [service.full_name for service in services()] == sorted(expected)
    assert b"google/rpc/error_details.proto" in data


def test_the_gateway_starts_without_what_it_does_not_need() -> None:
    code = "import sys, gateway.wiring; print([name for name in ('pandas', 'exchange_calendars', 'faust', 'pyarrow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
