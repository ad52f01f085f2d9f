import asyncio

import pytest
from signalbox.events.v1.checkpoint_pb2 import CheckpointManifest

from services.runtime.errors import BadRecord, TooManyDeadLetters
from services.runtime.stream.checkpoint import CheckpointWriter
from services.runtime.stream.errors import DeliveryFailed, OffsetGap, RecordFailed
from services.runtime.stream.manifests import Choice
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.pipeline import PartitionPipeline
from services.runtime.stream.records import InputRecord, Output
from tests.unit.runtime.stream.fakes import FakeEvent, FakeProducer, Summing


class Fixture:
    """One pipeline from offset 10 on, its producer, and what it acknowledged."""

    def __init__(self, processor: Summing | None = None) -> None:
        self.producer = FakeProducer()
        self.failures: list[BaseException] = []
        self.acked: list[int] = []
        self.buried: list[tuple[int, str]] = []
        self.processor = processor or Summing()
        outputs = OutputProducer(self.producer, self.failures.append, max_outstanding=100)
        writer = CheckpointWriter("checkpoints", "toy", 0, outputs, Choice(None, 0, ()))
        self.pipeline = PartitionPipeline(
            "in", 0, start=10, generation=4, processor=self.processor, outputs=outputs, writer=writer, bury=lambda record, why, _: self.bury(record, why)
        )

    def bury(self, record: InputRecord, why: str) -> None:
        self.buried.append((record.offset, why))

    def handle(self, *offsets: int, value: bytes = b"1") -> None:
        for offset in offsets:
            self.pipeline.handle(InputRecord("in", 0, offset, value, []), FakeEvent(offset, self.acked))

    def manifests(self) -> list[CheckpointManifest]:
        return [CheckpointManifest.FromString(sent.value) for sent in self.producer.delivered if sent.key and sent.key.startswith(b"manifest/")]


@pytest.fixture
def one() -> Fixture:
    return Fixture()


async def settle() -> None:
    """Lets every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def finish(one: Fixture, task: "asyncio.Task[int]") -> int:
    while not task.done():
        one.producer.deliver()
        await settle()
    return task.result()


def test_records_in_order_lead_to_outputs(one: Fixture) -> None:
    one.handle(10, 11, 12)
    one.producer.deliver()
    assert [sent.value for sent in one.producer.delivered] == [b"10 1", b"11 2", b"12 3"]
    assert one.pipeline.position == 13
    assert one.acked == []


def test_a_hole_ends_it(one: Fixture) -> None:
    one.handle(10)
    with pytest.raises(OffsetGap, match="in/0: expected offset 11, was 13"):
        one.handle(13)
    assert one.processor.total == 1


def test_a_record_before_the_checkpoint_is_passed_over_and_acknowledged(one: Fixture) -> None:
    one.handle(8, 9, 10)
    assert one.acked == [8, 9]
    assert one.processor.total == 1


def test_a_second_copy_is_acknowledged_only_with_the_first(one: Fixture) -> None:
    one.handle(10, 11, 10, 11, 12)
    assert one.acked == []
    assert one.processor.total == 3


async def test_the_order_of_a_checkpoint(one: Fixture) -> None:
    one.handle(10, 11)
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    assert len(one.producer) == 2, "no state before the outputs are acknowledged"
    one.handle(12)
    one.producer.deliver(1)
    await settle()
    assert len(one.producer) == 2, "still none, the second output is not acknowledged"
    one.producer.deliver(1)
    await settle()
    one.producer.deliver(1)  # the output of 12, which came after the snapshot
    chunk = one.producer.delivered[-1]
    assert chunk.topic == "out"
    assert one.producer.deliver() == 1
    assert (one.producer.delivered[-1].key, one.manifests(), one.acked) == (b"chunk/0/1/0", [], [])
    await settle()
    assert (len(one.producer), one.acked) == (1, []), "nothing is acknowledged before the manifest is there"
    one.producer.deliver()
    await settle()
    assert await task == 1
    assert one.acked == [10, 11]
    assert [(m.next_offset, m.generation, m.sequence, m.state_version, m.app) for m in one.manifests()] == [(12, 4, 1, 1, "toy")]
    assert one.pipeline.checkpointed == 12


async def test_the_next_checkpoint_goes_to_the_next_slot_and_acknowledges_the_rest(one: Fixture) -> None:
    for offset in range(10, 16):
        one.handle(offset)
        await finish(one, asyncio.create_task(one.pipeline.checkpoint()))
    assert one.acked == list(range(10, 16))
    assert [list(m.chunk_keys) for m in one.manifests()] == [[f"chunk/0/{slot}/0"] for slot in (1, 2, 3, 0, 1, 2)]


async def test_no_checkpoint_without_news(one: Fixture) -> None:
    assert await one.pipeline.checkpoint() == 0
    one.handle(9)
    assert await one.pipeline.checkpoint() == 0
    assert len(one.producer) == 0


async def test_checkpoints_of_one_partition_do_not_overlap(one: Fixture) -> None:
    one.handle(10)
    first = asyncio.create_task(one.pipeline.checkpoint())
    second = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    one.handle(11)
    await finish(one, first)
    await finish(one, second)
    assert [m.next_offset for m in one.manifests()] == [11, 12]


async def test_late_answers_of_a_dropped_partition_do_nothing(one: Fixture) -> None:
    one.handle(10)
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    one.producer.deliver()
    await settle()
    one.handle(11)
    one.pipeline.drop()
    await finish(one, task)
    one.producer.deliver(error="broken")
    assert one.acked == []
    assert one.failures == []


@pytest.mark.parametrize("error", [None, "Broker: gone"])
@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_checkpoint_of_a_dropped_partition_goes_no_further(one: Fixture, steps: int, error: str | None) -> None:
    """steps: what the broker has answered for when the partition goes: nothing, the outputs, the chunks too."""
    one.handle(10)
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    for _ in range(steps):
        one.producer.deliver()
        await settle()
    one.pipeline.drop()
    await settle()
    assert task.done(), "nobody waits for answers that do not matter any more"
    one.producer.deliver(error=error)
    await settle()
    assert task.result() == 0
    assert (len(one.producer), one.acked, one.failures) == (0, [], [])
    assert await one.pipeline.checkpoint() == 0


async def test_answers_for_a_checkpoint_that_was_given_up_do_nothing_after_the_drop(one: Fixture) -> None:
    one.handle(10)
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    task.cancel()
    await settle()
    one.pipeline.drop()
    one.producer.deliver(error="Broker: gone")
    assert one.failures == []


async def test_a_failed_delivery_ends_the_process_and_acknowledges_nothing(one: Fixture) -> None:
    one.handle(10, 11)
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    one.producer.deliver(1, error="Broker: gone")
    one.producer.deliver()
    await settle()
    assert isinstance(one.failures[0], DeliveryFailed)
    assert not task.done()
    assert one.acked == []
    task.cancel()


class Picky(Summing):
    def process(self, record: InputRecord) -> list[Output]:
        if record.value == b"bad":
            raise BadRecord("expected a number")
        if record.value == b"bug":
            raise ZeroDivisionError("oops")
        return super().process(record)


async def test_a_bad_record_is_buried_and_the_next_one_processed() -> None:
    one = Fixture(Picky())
    one.handle(10, value=b"bad")
    one.handle(11)
    assert one.buried == [(10, "expected a number")]
    assert one.pipeline.position == 12
    await finish(one, asyncio.create_task(one.pipeline.checkpoint()))
    assert one.acked == [10, 11]


def test_too_many_bad_records_stop_it_at_the_record() -> None:
    class Strict(Fixture):
        def bury(self, record: InputRecord, why: str) -> None:
            raise TooManyDeadLetters(1, why)

    one = Strict(Picky())
    with pytest.raises(TooManyDeadLetters):
        one.handle(10, value=b"bad")
    assert one.pipeline.position == 10


def test_a_processor_that_breaks_is_told_with_its_position() -> None:
    one = Fixture(Picky())
    with pytest.raises(RecordFailed, match="in/0 at offset 10: ZeroDivisionError: oops") as caught:
        one.handle(10, value=b"bug")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert one.pipeline.position == 10


async def test_a_checkpoint_waits_for_dead_letters(one: Fixture) -> None:
    one.handle(10)
    one.pipeline.produce("in.dlq", 0, b"bad", [])
    task = asyncio.create_task(one.pipeline.checkpoint())
    await settle()
    one.producer.deliver(1)
    await settle()
    assert len(one.producer) == 1, "the dead letter is not acknowledged, so there is no state yet"
    await finish(one, task)
    assert one.acked == [10]


async def test_bytes_that_wait_for_a_checkpoint_are_counted(one: Fixture) -> None:
    one.handle(10, 11, value=b"100")
    assert one.pipeline.unacknowledged_bytes == 6
    await finish(one, asyncio.create_task(one.pipeline.checkpoint()))
    assert one.pipeline.unacknowledged_bytes == 0


def test_live_outputs_stop_with_the_partition(one: Fixture) -> None:
    one.pipeline.live(123)
    one.pipeline.drop()
    one.pipeline.live(456)
    assert one.processor.live_calls == [123]
    assert len(one.producer) == 1
