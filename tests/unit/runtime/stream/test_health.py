from collections.abc import Iterable, Mapping
from typing import cast

from confluent_kafka import KafkaError, KafkaException

from services.runtime.stream.health import WorkerHealth
from services.runtime.stream.offsets import Extent, TopicOffsets
from services.runtime.stream.pipeline import PartitionPipeline
from services.runtime.testing.clock import ManualClock


class Offsets:
    """An input topic whose end is set by hand; None for a broker that does not answer."""

    end: int | None = 100

    def extents(self, partitions: Iterable[int], timeout_seconds: float) -> Mapping[int, Extent]:
        if self.end is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return {partition: Extent(0, self.end) for partition in partitions}


class Pipeline:
    """Where a partition is."""

    position = 10

    def report(self, extent: Extent | None) -> None:
        pass


class Fixture:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.offsets = Offsets()
        self.pipeline = Pipeline()
        self.health = WorkerHealth(self.clock, cast(TopicOffsets, self.offsets), stall_seconds=30)

    async def read_again(self, seconds: float) -> str | None:
        self.clock.advance(seconds)
        self.health.turned()
        return await self.health.watch({0: cast(PartitionPipeline, self.pipeline)})

    async def later(self, seconds: float) -> str | None:
        await self.read_again(seconds)
        return self.health.check_alive()


def test_ready_from_the_restore_to_the_revocation() -> None:
    health = Fixture().health
    seen = [health.check_ready()]
    for step in health.restored, health.revoked, health.restored:
        step()
        seen.append(health.check_ready())
    health.ending("draining")
    assert [*seen, health.check_ready()] == ["no partitions were assigned yet", None, "partitions are being given out anew", None, "draining"]


async def test_a_stall_is_found() -> None:
    one = Fixture()
    one.health.restored()
    assert [await one.later(seconds) for seconds in (1, 15, 15)] == [None, None, None]
    assert await one.later(5) == "no progress for 35 s in 1 partitions, such as 0: at 10 of 100"
    one.pipeline.position = 11
    assert await one.later(5) is None


async def test_records_are_read_again_before_it_counts_as_a_stall() -> None:
    one = Fixture()
    one.health.restored()
    seen = [await one.read_again(seconds) for seconds in (1, 4, 2, 1, 4, 2)]
    assert [reason is not None for reason in seen] == [False, False, True, False, False, True]
    assert one.health.check_alive() is None
    one.pipeline.position = one.offsets.end or 0
    assert await one.read_again(100) is None


async def test_a_broker_that_does_not_answer_is_no_stall() -> None:
    one = Fixture()
    one.health.restored()
    await one.later(1)
    one.offsets.end = None
    assert await one.later(100) is None


async def test_a_loop_that_does_not_turn_is_dead() -> None:
    one = Fixture()
    one.health.restored()
    await one.later(1)
    one.clock.advance(31)
    assert one.health.check_alive() == "the event loop has not turned for 31 s"


async def test_a_group_that_never_decides_is_found() -> None:
    one = Fixture()
    assert await one.later(59) is None
    assert await one.later(2) == "the group has decided nothing for 61 s"
    one.health.restored()
    assert await one.later(0) is None
