"""Workers that are killed, stopped and moved: no output is lost, and a repeated one is the same bytes. Real Kafka, real processes."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from signalbox.events.v1.checkpoint_pb2 import CheckpointManifest

from services.runtime.stream.manifests import SLOTS, manifest_key
from tests.integration.stream_driver import Bench
from tests.ports import free_ports
from tests.processes import wait_until

NewBench = Callable[..., Bench]

#: The embedded broker lets sessions be shorter than Kafka's default minimum, so that tests need not wait six seconds.
SHORT_SESSION = {"SIGNALBOX_SESSION_TIMEOUT_SECONDS": "2"}


@pytest.fixture
def new_bench(kafka: str, tmp_path: Path) -> Iterator[NewBench]:
    """Makes benches; ends their workers and shows the workers' logs when the test fails."""
    benches: list[Bench] = []
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")

    def make(partitions: int = 4) -> Bench:
        benches.append(Bench(kafka, tmp_path, seed, partitions))
        return benches[-1]

    yield make
    for bench in benches:
        bench.stop_all()
    for log in sorted(tmp_path.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-20000:]}")


def test_kill_at_random_points(new_bench: NewBench) -> None:
    bench = new_bench()
    with bench.load():
        for _ in range(6):
            worker = bench.start()
            seen = bench.output_count()
            wait_until(lambda at=seen: bench.output_count() > at, "some outputs")  # type: ignore[misc]
            time.sleep(bench.random.uniform(0, 0.3))
            worker.kill()
    bench.start()
    assert bench.wait_complete() > 0, "the kills came too early to repeat anything"


def test_kill_between_the_steps_of_a_checkpoint(new_bench: NewBench) -> None:
    bench = new_bench()
    with bench.load():
        for step in ("snapshot", "outputs", "chunks", "manifest", "write"):
            worker = bench.start(CHAOS_KILL=f"{step}:{bench.random.randrange(1, 9)}")
            assert worker.process.wait(60) == -signal.SIGKILL
    bench.start()
    bench.wait_complete()


def test_worker_stopped_past_its_session_and_woken(new_bench: NewBench) -> None:
    bench = new_bench()
    ports = free_ports(2)
    first = bench.start(0, ports[0], **SHORT_SESSION)
    with bench.load():
        wait_until(lambda: bench.output_count() > 100, "the first worker works")
        first.signal(signal.SIGSTOP)
        second = bench.start(1, ports[1], **SHORT_SESSION)
        wait_until(lambda: second.metric("signalbox_stream_checkpoints_total") > 20, "the second worker has taken over")
        generation = second.metric("signalbox_stream_generation")
        first.signal(signal.SIGCONT)
        wait_until(lambda: first.process.poll() is not None or first.metric("signalbox_stream_generation") > generation, "the first worker has noticed")
        done = bench.output_count()
        wait_until(lambda: bench.output_count() > done + 500, "the group goes on")
    second.kill()
    if first.process.poll() is None:
        first.kill()
    bench.start(2)
    bench.wait_complete()


def test_partitions_move_between_workers(new_bench: NewBench) -> None:
    bench = new_bench()
    port = free_ports(2)
    with bench.load():
        first = bench.start(0, port[0], **SHORT_SESSION)
        first.wait_ready()
        second = bench.start(1, port[1], **SHORT_SESSION)
        wait_until(lambda: second.metric("signalbox_stream_assigned_partitions") == 2, "the partitions are shared")
        wait_until(lambda: first.metric("signalbox_stream_assigned_partitions") == 2, "the partitions are shared")
        second.kill()
        wait_until(lambda: first.metric("signalbox_stream_assigned_partitions") == 4, "the first worker has all again")
        second = bench.start(1, port[1], **SHORT_SESSION)
        wait_until(lambda: second.metric("signalbox_stream_assigned_partitions") == 2, "the partitions are shared")
        assert first.terminate() == 0
        wait_until(lambda: second.metric("signalbox_stream_assigned_partitions") == 4, "the second worker has all")
    bench.wait_complete()
    assert second.process.poll() is None


def test_drain_leaves_nothing_to_repeat(new_bench: NewBench) -> None:
    bench = new_bench()
    with bench.load():
        for _ in range(3):
            worker = bench.start()
            seen = bench.output_count()
            wait_until(lambda at=seen: bench.output_count() > at + 50, "some outputs")  # type: ignore[misc]
            assert worker.terminate() == 0
    bench.start()
    assert bench.wait_complete() == 0


def test_what_faust_loses_is_read_again(new_bench: NewBench) -> None:
    bench = new_bench()
    bench.send(500)
    worker = bench.start(0, free_ports(1)[0], CHAOS_LOSE="1")
    assert bench.wait_complete() == 0
    assert worker.metric("signalbox_stream_read_again_total") >= 1
    assert "reading again" in worker.log


def test_corrupt_manifest_is_passed_over(new_bench: NewBench) -> None:
    bench = new_bench()
    _work_and_stop(bench)
    newest = max(_manifests(bench, 0), key=lambda item: item[1].sequence)
    newest[1].sha256 = bytes(32)
    newest[1].next_offset += 1
    _write(bench, 0, newest[0], newest[1].SerializeToString())
    _write(bench, 1, manifest_key(1, 0).encode(), b"\xff\xff")
    bench.send(500)
    port = free_ports(1)[0]
    worker = bench.start(0, port)
    bench.wait_complete()
    assert worker.metric("signalbox_stream_manifests_rejected_total") >= 2
    assert worker.metric("signalbox_stream_started_over_total") == 0
    assert "manifest does not count" in worker.log


def test_starts_over_loudly_when_no_manifest_counts(new_bench: NewBench) -> None:
    bench = new_bench()
    _work_and_stop(bench)
    for slot in range(SLOTS):
        _write(bench, 2, manifest_key(2, slot).encode(), b"\xff\xff")
    bench.send(100)
    worker = bench.start(0, free_ports(1)[0])
    repeated = bench.wait_complete()
    assert repeated > 0
    assert worker.metric("signalbox_stream_started_over_total") == 1
    assert "no checkpoint counts" in worker.log


def test_bad_records_go_to_the_dead_letters(new_bench: NewBench) -> None:
    bench = new_bench()
    bench.send(100)
    for number in range(5):
        bench.send_raw(number % 4, b"not a row")
    bench.send(100)
    worker = bench.start(0, free_ports(1)[0])
    bench.wait_complete()
    assert worker.metric("signalbox_stream_bad_records_total") == 5
    letters = bench.read(bench.source.dead_letters().name, 1)
    assert [value for _, _, value, _ in letters] == [b"not a row"] * 5
    assert all(b"expected rows of two numbers" in dict(headers)["dlq_reason"] for *_, headers in letters)
    assert {dict(headers)["dlq_topic"] for *_, headers in letters} == {bench.source.name.encode()}
    assert worker.terminate() == 0


def test_too_many_bad_records_end_the_process(new_bench: NewBench) -> None:
    bench = new_bench()
    for _ in range(20):
        bench.send_raw(0, b"not a row")
    bench.producer.flush()
    worker = bench.start(SIGNALBOX_DEAD_LETTERS_PER_MINUTE="10")
    assert worker.process.wait(60) == 1
    assert "more than 10 dead letters" in worker.log
    bench.start(SIGNALBOX_DEAD_LETTERS_PER_MINUTE="100")
    bench.wait_complete()


def test_record_that_breaks_the_processor_is_not_lost(new_bench: NewBench) -> None:
    bench = new_bench(partitions=1)
    bench.send(50)
    bench.send_raw(0, b"explode")
    bench.producer.flush()
    for _ in range(2):
        worker = bench.start()
        assert worker.process.wait(60) == 1
        assert f"{bench.source.name}/0 at offset 50: RuntimeError: told to" in worker.log
    assert {offset for offset, _ in bench.outputs()[0]} == set(range(50))


def test_a_hole_between_two_records_ends_the_worker_and_nothing_is_lost(new_bench: NewBench) -> None:
    bench = new_bench()
    bench.send(100)
    with bench.load():
        worker = bench.start(CHAOS_LOSE="1")
        assert worker.process.wait(60) == 1
        assert "expected offset" in worker.log
        bench.start()
    bench.wait_complete()


def test_worker_without_partitions_is_ready(new_bench: NewBench) -> None:
    bench = new_bench(partitions=1)
    ports = free_ports(2)
    workers = [bench.start(replica, ports[replica], **SHORT_SESSION) for replica in range(2)]
    for worker in workers:
        worker.wait_ready()
    wait_until(lambda: sum(worker.metric("signalbox_stream_assigned_partitions") for worker in workers) == 1, "one has the partition")
    assert [worker.ask("/healthz")[0] for worker in workers] == [200, 200]
    bench.send(100)
    bench.wait_complete()


def test_retention_cut_behind_the_checkpoint_is_survived(new_bench: NewBench) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    bench = new_bench(partitions=1)
    _work_and_stop(bench)
    bench.send(200)
    end = len(bench.expected()[0])
    admin = AdminClient({"bootstrap.servers": bench.bootstrap})
    for future in admin.delete_records([TopicPartition(bench.source.name, 0, end - 100)]).values():
        future.result()
    worker = bench.start()
    wait_until(lambda: end - 1 in {offset for offset, _ in bench.outputs()[0]}, "the last record is processed")
    assert "removed by retention" in worker.log
    assert worker.process.poll() is None


def _work_and_stop(bench: Bench) -> None:
    """Several checkpoints in every partition, then an orderly end."""
    worker = bench.start(SIGNALBOX_CHECKPOINT_INTERVAL_MS="50")
    for _ in range(2 * SLOTS):
        bench.send(100)
        time.sleep(0.2)
    bench.wait_complete()
    assert worker.terminate() == 0


def _manifests(bench: Bench, partition: int) -> list[tuple[bytes, CheckpointManifest]]:
    records = bench.read(bench.checkpoints.name, bench.partitions)
    return [(key, CheckpointManifest.FromString(value)) for at, key, value, _ in records if at == partition and key and key.startswith(b"manifest/")]


def _write(bench: Bench, partition: int, key: bytes, value: bytes) -> None:
    bench.producer.produce(bench.checkpoints.name, value, key=key, partition=partition)
    bench.producer.flush()
