"""The protocol as a whole, without a broker: crashes, woken workers, lost answers and compaction at any moment."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.stream.checkpoint import CheckpointWriter
from services.runtime.stream.manifests import CheckpointLog
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.pipeline import PartitionPipeline
from services.runtime.stream.records import InputRecord
from tests.unit.runtime.stream.fakes import FakeEvent, FakeProducer, Sent, Summing

INPUT = [b"%d" % (offset * 37 % 101 - 50) for offset in range(60)]


class Cluster:
    """What outlives the workers: the outputs and the checkpoint topic."""

    def __init__(self) -> None:
        self.outputs: list[bytes] = []
        self.checkpoints: list[tuple[int, bytes, bytes]] = []
        self._position = 0

    def take(self, sent: Sent) -> None:
        if sent.topic == "out":
            self.outputs.append(sent.value)
        else:
            assert sent.key is not None
            self.checkpoints.append((self._position, sent.key, sent.value))
            self._position += 1

    def compact(self, dirty: int) -> None:
        """As the log cleaner does it, which leaves the youngest `dirty` records alone."""
        last = {key: position for position, key, _ in self.checkpoints}
        clean = max(0, len(self.checkpoints) - dirty)
        self.checkpoints = [record for at, record in enumerate(self.checkpoints) if at >= clean or last[record[1]] == record[0]]


class Replica:
    """One worker's hold on the partition."""

    def __init__(self, cluster: Cluster, generation: int) -> None:
        self.cluster = cluster
        self.acked: list[int] = []
        self._producer = FakeProducer()
        self._tasks: list[asyncio.Task[Any]] = []
        log = CheckpointLog("toy", 0)
        for position, key, value in cluster.checkpoints:
            log.add(position, key, value)
        processor = Summing()
        choice = log.choose(1, len(INPUT))
        if choice.best:
            processor.restore(choice.best.state)
        self.start = choice.best.next_offset if choice.best else 0
        outputs = OutputProducer(self._producer, _no_failure, 1000)
        writer = CheckpointWriter("checkpoints", "toy", 0, outputs, choice)
        self.pipeline = PartitionPipeline(
            "in", 0, start=self.start, generation=generation, processor=processor, outputs=outputs, writer=writer, bury=lambda *_: None
        )

    def process(self, count: int) -> None:
        for offset in range(self.pipeline.position, min(len(INPUT), self.pipeline.position + count)):
            self.pipeline.handle(InputRecord("in", 0, offset, INPUT[offset], []), FakeEvent(offset, self.acked))

    async def deliver(self, count: int, *, topic: str | None = None, report: bool = True) -> None:
        before = len(self._producer.delivered)
        self._producer.deliver(count, topic=topic, report=report)
        for sent in self._producer.delivered[before:]:
            self.cluster.take(sent)
        await _settle()

    async def checkpoint(self) -> None:
        self._tasks.append(asyncio.create_task(self.pipeline.checkpoint()))
        await _settle()

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _no_failure(error: BaseException) -> None:
    raise AssertionError(error)


async def _settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


#: What happens, to whom (the one in charge, or the one before, who does not know yet), and how much of it.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("process", "checkpoint", "checkpoint", "out", "checkpoints", "checkpoints", "all", "takeover", "crash", "compact")),
        st.sampled_from((-1, -1, -1, -2)),
        st.integers(1, 6),
    ),
    min_size=10,
    max_size=80,
)


@settings(max_examples=500, deadline=None)
@given(_STEPS)
def test_every_output_is_there_and_repeated_ones_are_equal(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int, int]]) -> None:
    cluster = Cluster()
    replicas = [Replica(cluster, 0)]
    for step, who, count in steps:
        await _step(cluster, replicas, step, max(who, -len(replicas)), count)
        _acknowledged_only_what_is_safe(cluster, replicas[-1])
    for replica in replicas:
        await replica.kill()
    last = Replica(cluster, len(replicas))
    last.process(len(INPUT))
    await last.deliver(1000)
    seen: dict[bytes, bytes] = {}
    for value in cluster.outputs:
        assert seen.setdefault(value.partition(b" ")[0], value) == value
    assert sorted(seen.values()) == sorted(_oracle())


async def _step(cluster: Cluster, replicas: list[Replica], step: str, who: int, count: int) -> None:
    replica = replicas[who]
    match step:
        case "process":
            replica.process(count)
        case "checkpoint":
            await replica.checkpoint()
        case "out" | "checkpoints":  # partitions of one broker do not keep step
            await replica.deliver(count, topic=step)
        case "all":
            await replica.deliver(1000)
        case "takeover":  # the one before is not dead
            replicas.append(Replica(cluster, len(replicas)))
        case "crash":  # after the broker took some whose answers are lost
            await replicas[-1].deliver(count - 1, report=False)
            await replicas[-1].kill()
            replicas.append(Replica(cluster, len(replicas)))
        case "compact":
            cluster.compact(count - 1)


def _acknowledged_only_what_is_safe(cluster: Cluster, replica: Replica) -> None:
    """Strictly in order, from the start on, and only what a readable checkpoint holds."""
    assert replica.acked == list(range(replica.start, replica.start + len(replica.acked)))
    if replica.acked:
        assert replica.acked[-1] < replica.pipeline.checkpointed


def _oracle() -> list[bytes]:
    total, outputs = 0, []
    for offset, value in enumerate(INPUT):
        total += int(value)
        outputs.append(b"%d %d" % (offset, total))
    return outputs
