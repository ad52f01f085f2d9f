"""Where the partitions of a topic begin and end, asked of the broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]


class Extent(NamedTuple):
    """A partition's records: offsets `begin` <= o < `end`."""

    begin: int
    end: int


class TopicOffsets:
    """Asks about one topic. All partitions in one request: asked one by one each costs 15 ms."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._config: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin: AdminClient | None = None

    def extents(self, partitions: Iterable[int], timeout_seconds: float) -> Mapping[int, Extent]:
        """Begin and end of each partition. Blocks. Raises KafkaException when the broker does not tell."""
        wanted = sorted(partitions)
        if self._admin is None:
            self._admin = AdminClient(self._config)
        try:
            begins = self._ask(self._admin, wanted, OffsetSpec.earliest(), timeout_seconds)  # type: ignore[no-untyped-call]
            ends = self._ask(self._admin, wanted, OffsetSpec.latest(), timeout_seconds)  # type: ignore[no-untyped-call]
            return {partition: Extent(begins[partition].result().offset, ends[partition].result().offset) for partition in wanted}
        except KafkaException:
            # After a broker's restart, and while a topic is new, the client goes on for minutes with the leaders it once heard of.
            self._admin = None
            raise

    def _ask(self, admin: AdminClient, partitions: list[int], spec: OffsetSpec, timeout_seconds: float) -> dict[int, Future[Any]]:
        if not partitions:
            return {}
        wanted = {TopicPartition(self._topic, partition): spec for partition in partitions}
        return {tp.partition: future for tp, future in admin.list_offsets(wanted, request_timeout=timeout_seconds).items()}
