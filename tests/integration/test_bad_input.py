"""Input that cannot be used, sent into the running chain: each is counted and published with its reason, and no good row is touched by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from services.runtime.columns import InstrumentRef, TickColumns, decode_late, encode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.partitions import partition_of
from services.runtime.stream.offsets import TopicOffsets
from services.runtime.topics import BARS, LATE, TICKS, Topic
from services.runtime.wire import varint
from tests.chaos.chain import ANALYSIS, KINDS, PRICES, Chain, now, seed_of
from tests.chaos.load import DAY, LIVE
from tests.chaos.observer import TEST_HEADER
from tests.oracle import BAR_FINAL, IN_FUTURE, NOT_POSITIVE, OUT_OF_RANGE, SECOND
from tests.unit.prices.bar_rows import bars

#: Rows with such numbers are the bad ones; the load's are below.
OURS = 10**12
#: Of the load: a source and a symbol that are open.
SOURCE, SYMBOL = "live:second", "ES.XCME"
WHILE_OPEN = 1_378_100_000 * SECOND

#: How the reasons of what is sent below begin.
_REASONS_OF_TICKS = (
    "not a signalbox.events.v1.TickBatch",
    "source: expected a name, was ''",
    "symbol: expected ticker dot MIC",
    "instruments: expected the digits known of it",
    "schema: expected signalbox.events.v1.TickBatch, was 'signalbox.events.v1.BarBatch'",
    "schema: expected signalbox.events.v1.TickBatch, was ''",
    f"partition: {SYMBOL} belongs to {partition_of(SYMBOL, 4)} of 4",
)
_REASONS_OF_BARS = (
    "not a signalbox.events.v1.BarBatch",
    "ts_recv: expected none in final bars",
    "schema: expected signalbox.events.v1.BarBatch, was 'signalbox.events.v1.TickBatch'",
    "schema: expected signalbox.events.v1.BarBatch, was ''",
)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with Chain(tmp_path, seed_of()) as chain:
        for kind in KINDS:
            chain.start(kind)
        for kind in KINDS:
            chain.recovery(kind, chain.started)
        yield chain
        for kind in KINDS:
            print(chain.log_of(kind).read_text()[-5000:])


def rows(prices: list[int], sizes: list[int], times: list[int], symbol: str = SYMBOL) -> TickColumns:
    """Rows received at a moment of the load."""
    ts, price, size = (np.array(column, np.int64) for column in (times, prices, sizes))
    seq = np.arange(OURS, OURS + len(ts), dtype=np.int64)
    recv = np.full(len(ts), WHILE_OPEN, np.int64)
    return TickColumns(SOURCE, LIVE, (InstrumentRef(symbol, 2, 0),), np.zeros(len(ts), np.uint32), ts, recv, price, size, seq)


class Sender:
    """Puts single records into a topic."""

    def __init__(self, chain: Chain, topic: Topic, **overrides: object) -> None:
        """overrides: as in make_producer."""
        self._producer, self._topic = make_producer(chain.broker.bootstrap, **overrides), topic
        self.sent = 0

    def send(self, value: bytes, schema: str | None = None, symbol: str = SYMBOL, partition: int | None = None, traceparent: bytes = b"") -> None:
        """schema: the topic's own by default, none when empty."""
        self.sent += 1
        name = self._topic.message if schema is None else schema
        headers: list[tuple[str, str | bytes | None]] = [(TEST_HEADER, b"bad"), *(record_headers(name, f"bad/{self.sent}") if name else [])]
        headers += [("traceparent", traceparent)] if traceparent else []
        self._producer.produce(self._topic.name, value, partition=partition_of(symbol, 4) if partition is None else partition, headers=headers)
        assert self._producer.flush(30) == 0


def values_of(chain: Chain, topic: Topic, partitions: int) -> list[tuple[bytes, dict[str, bytes]]]:
    """Value and headers of all records of a topic."""
    ends = TopicOffsets(chain.broker.bootstrap, topic.name).extents(range(partitions), 20)
    consumer = Consumer({"bootstrap.servers": chain.broker.bootstrap, "group.id": "nobody", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic.name, partition, 0) for partition in range(partitions)])
    found: list[tuple[bytes, dict[str, bytes]]] = []
    while len(found) < sum(extent.end for extent in ends.values()):
        found += [(message.value() or b"", dict(message.headers() or [])) for message in consumer.consume(500, 0.2)]  # type: ignore[arg-type]
    consumer.close()
    return found


def test_rows_that_cannot_be_used_are_late_with_their_reason(chain: Chain) -> None:
    sender, old = Sender(chain, TICKS), 1_378_000_000 * SECOND
    sender.send(encode_ticks(rows([100] * 3, [1] * 3, [old, old + 1, old + 2])))
    sender.send(encode_ticks(rows([100] * 2, [1] * 2, [WHILE_OPEN + 6 * SECOND, WHILE_OPEN + 900 * DAY])))
    sender.send(encode_ticks(rows([0, -5, 100, 100], [1, 1, 0, -1], [old] * 4)))
    sender.send(encode_ticks(rows([2**62, 100], [1, 1], [old, -1])))
    verdict = chain.settle()
    assert verdict.repeats == 0
    reasons: Counter[int] = Counter()
    for value, headers in values_of(chain, LATE, 4):
        late = decode_late(value)
        assert headers["schema"] == LATE.message.encode()
        reasons.update(late.reason[late.ticks.seq >= OURS].tolist())
    assert reasons == {BAR_FINAL: 3, IN_FUTURE: 2, NOT_POSITIVE: 4, OUT_OF_RANGE: 2}
    assert chain.worker(PRICES).metric("signalbox_bars_late_total") >= 11


def test_records_that_cannot_be_used_are_dead_letters_with_their_reason(chain: Chain) -> None:
    good = rows([100], [1], [WHILE_OPEN])
    ticks = Sender(chain, TICKS)
    for value in (b"\xff\xff not protobuf", b""):
        ticks.send(value)
    ticks.send(encode_ticks(replace(good, instruments=(InstrumentRef("es", 2, 0),))), symbol="es")
    ticks.send(encode_ticks(replace(good, instruments=(InstrumentRef(SYMBOL, 4, 0),))))
    ticks.send(encode_ticks(good), schema="BarBatch")
    ticks.send(encode_ticks(good), schema="")
    ticks.send(encode_ticks(good), partition=(partition_of(SYMBOL, 4) + 1) % 4)
    bad_bars = Sender(chain, BARS)
    final = bars(SYMBOL, 60, [60, 120])
    for value in (b"\xff\xff", encode_bars(replace(final, ts_recv=final.ts_open))):
        bad_bars.send(value)
    bad_bars.send(encode_bars(final), schema="TickBatch")
    bad_bars.send(encode_bars(final), schema="")
    verdict = chain.settle()
    assert verdict.repeats == 0
    expected = {TICKS: _REASONS_OF_TICKS, BARS: _REASONS_OF_BARS}
    for topic, worker, sender in ((TICKS, PRICES, ticks), (BARS, ANALYSIS, bad_bars)):
        letters = values_of(chain, topic.dead_letters(), 1)
        reasons = sorted(headers["dlq_reason"].decode() for _, headers in letters)
        assert len(letters) == sender.sent, reasons
        assert [reason[: len(start)] for reason, start in zip(reasons, sorted(expected[topic]), strict=True)] == sorted(expected[topic])
        assert all(headers["dlq_topic"] == topic.name.encode() for _, headers in letters)
        assert chain.worker(worker).metric("signalbox_stream_bad_records_total") == sender.sent


def test_garbage_that_is_too_long_for_a_dead_letter_is_cut(chain: Chain) -> None:
    """The broker's limit is for what is compressed: 9 MiB may be written that no producer of ours could write again."""
    limit = 8 << 20
    noise = b"\xff" + np.random.default_rng(1).bytes(limit - 301)
    for topic, worker in ((TICKS, PRICES), (BARS, ANALYSIS)):
        since = now()
        sender = Sender(chain, topic, message_max_bytes=64 << 20)
        for value in (b"\xff" * (9 << 20), noise, b"\xff" * 100):
            sender.send(value)
        chain.observer.watch(since)
        assert chain.recovery(worker, since) > 0
    assert chain.settle().repeats == 0
    for topic, worker in ((TICKS, PRICES), (BARS, ANALYSIS)):
        letters = values_of(chain, topic.dead_letters(), 1)
        assert [(len(value), headers.get("dlq_original_bytes")) for value, headers in letters] == [
            (1 << 20, b"%d" % (9 << 20)),
            (1 << 20, b"%d" % len(noise)),
            (100, None),
        ]
        assert letters[1][0] == noise[: 1 << 20]
        assert all(headers["dlq_reason"].startswith(b"not a " + topic.message.encode()) for _, headers in letters)
        assert chain.worker(worker).metric("signalbox_stream_bad_records_total") == 3
    assert chain.ended_alone == []


def test_names_and_traces_that_fill_a_record_do_not_end_the_worker(chain: Chain) -> None:
    """They would come again in the outputs, uncompressed: a late row with such a source would be a record that the client refuses."""
    old, long = 1_378_000_000 * SECOND, 9 << 20
    good = rows([100], [1], [old])
    sender = Sender(chain, TICKS, message_max_bytes=64 << 20)
    sender.send(encode_ticks(good).replace(b"\x0a" + bytes([len(SOURCE)]) + SOURCE.encode(), b"\x0a" + varint(long) + b"s" * long))
    sender.send(encode_ticks(good), traceparent=b"0" * long)
    assert chain.settle().repeats == 0
    ((value, headers),) = values_of(chain, TICKS.dead_letters(), 1)
    assert (len(value), headers["dlq_reason"]) == (1 << 20, b"source: expected at most 256 characters, was %d" % long)
    late = [headers for value, headers in values_of(chain, LATE, 4) if (decode_late(value).ticks.seq >= OURS).any()]
    assert len(late) == 1
    assert "traceparent" not in late[0]
    assert chain.ended_alone == []


def test_a_record_near_the_brokers_limit_is_worked_through(chain: Chain) -> None:
    """Hundreds of thousands of rows, all of them late: eight mebibytes are the limit of a record."""
    count = 200_000
    sender, old = Sender(chain, TICKS), 1_378_000_000 * SECOND
    value = encode_ticks(rows([100] * count, [1] * count, [old] * count))
    assert 7 << 20 < len(value) < 8 << 20
    since = now()
    sender.send(value)
    chain.observer.watch(since)
    assert chain.recovery(PRICES, since) > 0
    chain.settle()
    late = [decode_late(value) for value, _ in values_of(chain, LATE, 4)]
    assert sum(int((each.ticks.seq >= OURS).sum()) for each in late) == count
    assert chain.ended_alone == []
