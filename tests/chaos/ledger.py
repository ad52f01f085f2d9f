"""Watches that no group ever commits an offset that its checkpoints do not hold yet."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.protobuf.message import DecodeError
from signalbox.events.v1.checkpoint_pb2 import CheckpointManifest

from services.runtime.topics import Topic

_LOOK_SECONDS = 0.2
#: A broker that comes back is found soon.
_CLIENT: dict[str, str | int | float | bool] = {
    "enable.auto.commit": False,
    "fetch.queue.backoff.ms": 10,
    "reconnect.backoff.max.ms": 500,
    "log_level": 0,
}


class Watched(Protocol):
    """The topics of a group."""

    @property
    def input(self) -> Topic:
        """What the group reads."""

    @property
    def checkpoints(self) -> Topic:
        """Where its state lies."""


class Manifests:
    """The highest offset that a manifest of each partition ever named, and the newest manifest itself."""

    def __init__(self, bootstrap: str, topic: Topic, partitions: int) -> None:
        self.highest = dict.fromkeys(range(partitions), 0)
        self.newest: dict[int, tuple[bytes, CheckpointManifest]] = {}
        self.written = dict.fromkeys(range(partitions), 0)
        """Manifests of each partition."""
        self._next = dict.fromkeys(range(partitions), 0)
        self._topic = topic.name
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "ledger", "enable.auto.commit": False, "fetch.queue.backoff.ms": 10, "log_level": 0}
        )
        self._consumer.assign([TopicPartition(self._topic, partition, 0) for partition in range(partitions)])

    def read(self) -> None:
        """Everything up to now. Raises KafkaException while the broker is away."""
        ends = {place: self._consumer.get_watermark_offsets(TopicPartition(self._topic, place), 5)[1] for place in self._next}
        while any(self._next[place] < end for place, end in ends.items()):
            for message in self._consumer.consume(500, 0.05):
                if message.error() is not None:
                    raise KafkaException(message.error())
                partition = message.partition() or 0
                self._next[partition] = (message.offset() or 0) + 1
                self._add(partition, message.key() or b"", message.value() or b"")

    def _add(self, partition: int, key: bytes, value: bytes) -> None:
        if not key.startswith(b"manifest/"):
            return
        try:
            manifest = CheckpointManifest.FromString(value)
        except DecodeError:
            return  # one that a fault has spoilt
        self.written[partition] += 1
        self.highest[partition] = max(self.highest[partition], manifest.next_offset)
        if partition not in self.newest or manifest.sequence >= self.newest[partition][1].sequence:
            self.newest[partition] = (key, manifest)

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()


class Ledger:
    """A thread that asks for what is committed, then reads the checkpoints as they are after that. Use as a context manager."""

    def __init__(self, bootstrap: str, partitions: int, groups: Mapping[str, Watched]) -> None:
        self.checked = 0
        """Committed offsets that were compared."""
        self._bootstrap, self._partitions = bootstrap, partitions
        self._groups = groups
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Ledger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises when a commit was ahead."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        manifests = {group: Manifests(self._bootstrap, watched.checkpoints, self._partitions) for group, watched in self._groups.items()}
        # Asked by consumers that never join; librdkafka's admin client aborts the process when the broker dies under this question.
        askers = {group: Consumer(_CLIENT | {"bootstrap.servers": self._bootstrap, "group.id": group}) for group in self._groups}
        try:
            while not self._stop.wait(_LOOK_SECONDS):
                for group, watched in self._groups.items():
                    self._compare(askers[group], watched, manifests[group])
        except BaseException as error:  # noqa: BLE001 - raised again by check()
            self._failure = error
        for group in self._groups:
            manifests[group].close()
            askers[group].close()

    def _compare(self, asker: Consumer, watched: Watched, manifests: Manifests) -> None:
        wanted = [TopicPartition(watched.input.name, partition) for partition in range(self._partitions)]
        try:
            committed = asker.committed(wanted, timeout=5)
            manifests.read()
        except KafkaException:
            return  # the broker is away, or the group is new
        for place in committed:
            if place.offset >= 0:
                self.checked += 1
                highest = manifests.highest[place.partition]
                assert place.offset <= highest, f"{place.topic}/{place.partition}: committed {place.offset}, checkpoints end at {highest}"
