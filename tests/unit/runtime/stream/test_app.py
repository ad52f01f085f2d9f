"""The harness leans on half-private parts of Faust: these tests fail when another version has them no more, or otherwise."""

import ast
import inspect
import math
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import ConsumerRecord
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer as consumer_module
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.runtime.stream.app import _BUNDLE_BYTES, _BUNDLE_RECORDS, CheckpointedConsumer, NoTables, bundles
from services.runtime.stream.settings import StreamWorkerSettings
from services.runtime.testing.clock import ManualClock
from tests.servers import REPOSITORY


def calls(function: object) -> list[str]:
    """Dotted names of what a function calls, in the order of the source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))  # type: ignore[arg-type]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [ast.unparse(node.func) for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]


def test_the_versions_are_the_ones_that_were_tried() -> None:
    assert (version("faust-streaming"), version("aiokafka"), version("mode-streaming")) == ("0.15.3", "0.14.0", "0.7.1")


def test_the_transport_makes_the_consumer_that_is_set_on_it() -> None:
    assert "self.Consumer" in calls(driver.Transport.create_consumer)
    assert issubclass(CheckpointedConsumer, driver.Transport.Consumer)


def test_perform_seek_asks_seek_to_committed_and_believes_it() -> None:
    source = inspect.getsource(consumer_module.Consumer.perform_seek)
    assert "await self.seek_to_committed()" in source
    assert "read_offset.update(" in source
    assert list(inspect.signature(driver.Consumer.seek_to_committed).parameters) == ["self"]
    assert list(inspect.signature(driver.AIOKafkaConsumerThread.seek_wait).parameters) == ["self", "partitions"]


def test_fetches_go_through_wait_next_records() -> None:
    assert list(inspect.signature(consumer_module.Consumer._wait_next_records).parameters) == ["self", "timeout"]
    assert "records, active_partitions = await self._wait_next_records(timeout)" in inspect.getsource(consumer_module.Consumer.getmany)
    assert "if records is None or self.should_stop:\n            return" in inspect.getsource(consumer_module.Consumer.getmany)


def test_aiokafka_asks_for_each_fetch_how_it_shall_wait() -> None:
    source = inspect.getsource(Fetcher._get_actions_per_node)
    assert "req = FetchRequest(\n                self._fetch_max_wait_ms,\n                self._fetch_min_bytes," in source
    assert "return self._consumer" in inspect.getsource(driver.AIOKafkaConsumerThread._ensure_consumer)
    assert "fetch_max_wait_ms=1500," in inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)


def test_a_fetch_waits_for_more_only_while_records_come_all_the_time() -> None:
    fetcher, clock = SimpleNamespace(_fetch_min_bytes=1, _fetch_max_wait_ms=1500), ManualClock()
    consumer: Any = object.__new__(CheckpointedConsumer)
    consumer.clock = clock
    consumer._thread = SimpleNamespace(_ensure_consumer=lambda: SimpleNamespace(_fetcher=fetcher))

    def waits_after(milliseconds: int, *, found: bool) -> tuple[int, int]:
        clock.advance(milliseconds / 1e3)
        consumer._choose_wait(found=found)
        return fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms

    at_once, gathering = (1, 1500), (1 << 20, 8)
    assert waits_after(1_000, found=True) == at_once
    assert waits_after(5, found=True) == gathering
    assert waits_after(9, found=True) == gathering
    assert waits_after(1_000, found=False) == at_once
    assert waits_after(30, found=True) == at_once
    assert waits_after(8, found=True) == gathering
    assert waits_after(21, found=True) == at_once
    # Whoever gathers for longer is busy for longer.
    consumer.gather_ms = 50
    assert waits_after(30, found=True) == (1 << 20, 50)
    assert waits_after(61, found=True) == (1 << 20, 50)
    assert waits_after(63, found=True) == at_once


def fetched(count: int, size: int, first: int = 7) -> list[ConsumerRecord[Any, Any]]:
    return [ConsumerRecord("in", 2, offset, 1000 + offset, 0, None, bytes(size), None, -1, size, [("h", b"1")]) for offset in range(first, first + count)]


@pytest.mark.parametrize("size", [0, 1, _BUNDLE_BYTES // 3, _BUNDLE_BYTES, 2 * _BUNDLE_BYTES])
@pytest.mark.parametrize("count", [0, 1, 2, _BUNDLE_RECORDS, 2 * _BUNDLE_RECORDS + 1])
def test_bundles_hold_every_record_in_order_and_are_bounded(count: int, size: int) -> None:
    records = fetched(count, size)
    found = list(bundles(records))
    assert [record for bundle in found for record in bundle.value] == records
    assert all(bundle.offset == bundle.value[-1].offset and (bundle.topic, bundle.partition) == ("in", 2) for bundle in found)
    most = min(_BUNDLE_RECORDS, math.ceil(_BUNDLE_BYTES / size)) if size else _BUNDLE_RECORDS
    assert [len(bundle.value) for bundle in found] == [most] * (count // most) + ([count % most] if count % most else [])


def test_what_is_committed_follows_the_last_acknowledged_bundle() -> None:
    tp = TP("in", 2)
    consumer: Any = SimpleNamespace(_acked=defaultdict(list, {tp: [31, 47]}), _acked_index=defaultdict(set, {tp: {31, 47}}))
    assert CheckpointedConsumer._new_offset(consumer, tp) == 48
    assert CheckpointedConsumer._new_offset(consumer, tp) is None
    assert not consumer._acked_index[tp]


def test_gaps_and_commits_go_through_the_methods_that_are_replaced() -> None:
    assert "await self._add_gap(tp, r_offset + 1, offset)" in inspect.getsource(consumer_module.Consumer._drain_messages)
    assert "self._new_offset(tp)" in inspect.getsource(consumer_module.Consumer._filter_committable_offsets)
    assert {"_acked", "_acked_index"} <= set(re.findall(r"self\.(\w+)", inspect.getsource(consumer_module.Consumer.ack)))


def test_checkpoints_are_loaded_before_the_seek_and_before_any_event() -> None:
    order = calls(Recovery._resume_streams)
    steps = ["app.on_rebalance_complete.send", "consumer.resume_partitions", "consumer.perform_seek", "consumer.resume_flow"]
    assert [name for name in order if name in steps] == steps


def test_revocation_is_announced_before_the_partitions_go() -> None:
    source = inspect.getsource(App._on_partitions_revoked)
    assert source.index("consumer.stop_flow") < source.index("self.flow_control.clear") < source.index("self.on_partitions_revoked.send")


def test_the_table_manager_does_nothing_at_start_that_we_leave_out() -> None:
    assert calls(TableManager.on_start) == ["self.sleep", "self._update_channels", "self.recovery.start"]
    assert calls(NoTables.on_start) == ["self._update_channels", "self.recovery.start"]


def test_events_know_their_generation() -> None:
    assert "generation_id" in inspect.signature(faust.types.tuples.ConsumerMessage.__init__).parameters
    assert "generation_id=self.app.consumer_generation_id" in inspect.getsource(driver.Consumer._to_message)


def test_settings_name_the_group_and_the_member() -> None:
    settings = StreamWorkerSettings.model_validate({"app": "prices", "replica": "2"})
    assert (settings.group, settings.instance) == ("signalbox-prices", "signalbox-prices-2")


def test_the_harness_starts_without_pandas_and_calendars() -> None:
    code = "import sys, services.runtime.stream.worker; print([m for m in ('pandas', 'exchange_calendars', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_faust_runs_on_uvloop() -> None:
    code = "import asyncio, services.runtime.stream.app; print(type(asyncio.get_event_loop_policy()).__module__)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout == "uvloop\n"
