"""Kafka: where batches of ticks go, and where bars and snapshots come from."""

import asyncio
import itertools
import os

from services.prices.bar_store import BarStore
from services.prices.metrics import UNREADABLE_RECORDS
from services.prices.price_view import PriceView
from services.prices.snapshots import snapshot_of, symbol_of
from services.prices.translate import trade_of
from services.runtime.columns import TickColumns, decode_bars, encode_ticks
from services.runtime.columns_many import decode_many_bars
from services.runtime.errors import BadRecord
from services.runtime.headers import check_schema, record_headers
from services.runtime.kafka import Publisher, Record
from services.runtime.logging import get_logger
from services.runtime.record_spans import sending
from services.runtime.topics import BARS, TICKS

_log = get_logger("kafka")
_BARS_SCHEMA = BARS.message.encode()


class KafkaTickSink:
    """TickSink on market.ticks.v1."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        # Unique over restarts and replicas without asking anybody.
        self._run = os.urandom(8).hex()
        self._count = itertools.count(1)

    async def send(self, partition: int, batch: TickColumns) -> "asyncio.Future[int]":
        """As TickSink says."""
        with sending(TICKS.name, partition, rows=len(batch), symbols=len(batch.instruments)) as traceparent:
            headers = record_headers("TickBatch", f"{self._run}-{next(self._count)}", traceparent, feed=batch.source)
            return await self._publisher.publish(TICKS.name, partition, encode_ticks(batch), headers)


class BarFeed:
    """Puts records of market.bars.v1 into the store. One that is not of bars is counted and skipped; who writes dead letters is the worker."""

    def __init__(self, store: BarStore) -> None:
        self._store = store

    def __call__(self, records: list[Record]) -> None:
        """For TopicReader."""
        for _, group in itertools.groupby(records, key=lambda record: record.partition):
            self._add(list(group))

    def _add(self, records: list[Record]) -> None:
        """Records of one partition: together when there are several, as at the start, and one by one when one of them is bad."""
        if len(records) == 1:
            self._add_one(records[0])
            return
        try:
            for record in records:
                check_schema(record.headers, _BARS_SCHEMA)
            bars = decode_many_bars([record.value for record in records])
        except BadRecord:
            for record in records:
                self._add_one(record)
        else:
            self._store.add(bars, records[-1].partition, records[-1].offset)

    def _add_one(self, record: Record) -> None:
        try:
            check_schema(record.headers, _BARS_SCHEMA)
            self._store.add(decode_bars(record.value), record.partition, record.offset)
        except BadRecord as error:
            self._store.skip(record.partition, record.offset)
            _unreadable(record, error)


class SnapshotFeed:
    """Puts records of market.snapshots.v1 into the view; a record without a value forgets its symbol, one that cannot be read is counted and skipped."""

    def __init__(self, view: PriceView) -> None:
        self._view = view

    def __call__(self, records: list[Record]) -> None:
        """For TopicReader."""
        for record in records:
            try:
                self._put(record)
            except BadRecord as error:
                _unreadable(record, error)

    def _put(self, record: Record) -> None:
        if not record.value:
            self._view.remove(symbol_of(record))
            return
        trade = trade_of(snapshot_of(record))
        if trade is not None:
            self._view.put(trade)


def _unreadable(record: Record, error: Exception) -> None:
    UNREADABLE_RECORDS.labels(record.topic).inc()
    _log.warning("record skipped", topic=record.topic, partition=record.partition, offset=record.offset, reason=str(error))
