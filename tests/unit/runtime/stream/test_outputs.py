import pytest

from services.runtime.stream.errors import DeliveryFailed
from services.runtime.stream.outputs import OutputProducer
from services.runtime.stream.records import Output
from tests.unit.runtime.stream.fakes import FakeProducer


def no_failure(error: BaseException) -> None:
    raise AssertionError(error)


OUTPUT = Output("out", 1, b"k", b"v", [("h", b"1")])


def test_what_is_sent_is_what_was_given() -> None:
    producer = FakeProducer()
    outputs = OutputProducer(producer, no_failure, max_outstanding=2)
    outputs.send(OUTPUT, outputs.new_batch())
    producer.deliver()
    assert producer.delivered[0][1:] == tuple(OUTPUT)


def test_crowded_at_the_limit() -> None:
    producer = FakeProducer()
    outputs = OutputProducer(producer, no_failure, max_outstanding=2)
    batch = outputs.new_batch()
    outputs.send(OUTPUT, batch)
    crowded = [outputs.crowded]
    outputs.send(OUTPUT, batch)
    crowded.append(outputs.crowded)
    producer.deliver(1)
    crowded.append(outputs.crowded)
    assert crowded == [False, True, False]


def test_a_full_queue_is_waited_for() -> None:
    producer = FakeProducer(limit=3)
    producer.room_after_polls = 5
    outputs = OutputProducer(producer, no_failure, max_outstanding=2)
    batch = outputs.new_batch()
    for _ in range(4):
        outputs.send(OUTPUT, batch)
    assert len(producer.delivered) == 3
    assert batch.pending == 1


def test_a_queue_that_stays_full_ends_the_process() -> None:
    outputs = OutputProducer(FakeProducer(limit=0), no_failure, max_outstanding=2)
    batch = outputs.new_batch()
    with pytest.raises(DeliveryFailed, match="the queue was full"):
        outputs.send(OUTPUT, batch)
    assert batch.pending == 0


async def test_a_batch_without_outputs_is_acknowledged() -> None:
    await OutputProducer(FakeProducer(), no_failure, 1).new_batch().acknowledged()


def test_what_is_live_goes_out_by_itself() -> None:
    hurried, patient = FakeProducer(), FakeProducer()
    outputs = OutputProducer(hurried, no_failure, 3, patient)
    batch = outputs.new_batch()
    outputs.send(OUTPUT, batch)
    outputs.send(OUTPUT._replace(topic="live"), batch, live=True)
    outputs.produce("checkpoints", partition=0, key=None, value=b"", headers=[], batch=batch)
    assert outputs.crowded
    for producer in (hurried, patient):
        producer.deliver()
    assert ([sent.topic for sent in hurried.delivered], [sent.topic for sent in patient.delivered]) == (["live", "checkpoints"], ["out"])
    assert (batch.pending, outputs.crowded) == (0, False)
