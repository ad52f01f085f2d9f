"""The archive of results: `reports.results.v1` with an index of job id -> offset in memory."""

from __future__ import annotations

import asyncio
import threading
from itertools import islice

from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.protobuf.message import DecodeError

from services.reports.metrics import RESULTS_FORGOTTEN, RESULTS_INDEXED, RESULTS_READ
from services.reports.translate import job_of_result
from services.runtime.errors import Unavailable
from services.runtime.jobs import Job
from services.runtime.kafka import Record, to_record
from services.runtime.logging import get_logger
from services.runtime.topics import RESULTS

_log = get_logger("reports")

#: Seconds for one record; it lies at a known offset.
_READ_TIMEOUT_S = 5.0
#: What one fetch takes; a larger record still comes whole.
_FETCH_BYTES = 64 << 10


class ResultIndex:
    """Job id -> where its record lies. Ids and numbers only, the newest `limit` of them; safe from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, records: list[Record]) -> None:
        """For TopicReader. The record of a job that came twice after a crash is the last one."""
        with self._lock:
            for record in records:
                if record.key is not None:
                    job_id = record.key.decode("utf-8", "replace")
                    # Taken out first, so that the order is that of the topic.
                    self._offsets.pop(job_id, None)
                    self._offsets[job_id] = record.offset
            # Taken together: each look for the first of a dict passes over those that were removed before.
            forgotten = list(islice(self._offsets, max(0, len(self._offsets) - self._limit)))
            for job_id in forgotten:
                del self._offsets[job_id]
            RESULTS_INDEXED.set(len(self._offsets))
        RESULTS_FORGOTTEN.inc(len(forgotten))

    def offset(self, job_id: str) -> int | None:
        """None when it is not indexed."""
        with self._lock:
            return self._offsets.get(job_id)


class TopicArchive:
    """ResultArchive over an index and a consumer of its own, which reads one record at a time."""

    def __init__(self, bootstrap: str, index: ResultIndex) -> None:
        self._index = index
        self._bootstrap = bootstrap
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()

    async def find(self, job_id: str) -> Job | None:
        """As ResultArchive says."""
        offset = self._index.offset(job_id)
        if offset is None:
            RESULTS_READ.labels("unknown").inc()
            return None
        try:
            job = await asyncio.to_thread(self._read, offset)
        except Unavailable:
            RESULTS_READ.labels("failed").inc()
            raise
        RESULTS_READ.labels("found").inc()
        return job

    def _read(self, offset: int) -> Job:
        record = self._record(offset)
        try:
            return job_of_result(record.value)
        except (DecodeError, ValueError) as error:
            raise Unavailable(RESULTS.name, f"the record at {offset} is no result: {error}") from error

    def _record(self, offset: int) -> Record:
        with self._lock:
            consumer = self._consumer = self._consumer or Consumer(_config(self._bootstrap))
            try:
                consumer.assign([TopicPartition(RESULTS.name, 0, offset)])
                message = consumer.poll(_READ_TIMEOUT_S)
            except KafkaException as error:
                raise Unavailable("Kafka", str(error.args[0])) from error
            finally:
                # Otherwise it would fetch the records that follow, for nobody.
                consumer.unassign()
        if message is None or message.error() is not None:
            raise Unavailable("Kafka", f"{RESULTS.name}: no record at {offset} within {_READ_TIMEOUT_S:g} s")
        return to_record(message)

    async def close(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            await asyncio.to_thread(self._consumer.close)


def _config(bootstrap: str) -> dict[str, object]:
    return {
        "bootstrap.servers": bootstrap,
        # Named because librdkafka wants one; nothing is committed and no group is joined.
        "group.id": "signalbox-results",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        # One record is wanted, not the 64 MiB that come after it.
        "queued.max.messages.kbytes": 1024,
        "fetch.message.max.bytes": _FETCH_BYTES,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 0,
    }
