"""Which checkpoint counts: the log of one checkpoint partition, folded. Pure; `checkpoint.py` does the reading and writing.

Manifests lie under rotating keys (slots), each with its own chunk keys, so compaction always leaves several. A chunk key is written again
when its slot comes round; a manifest is therefore judged by the chunks that stood *before* it in the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf.message import DecodeError
from signalbox.events.v1.checkpoint_pb2 import CheckpointChunk, CheckpointManifest

#: Manifests kept of one partition. A worker that was woken after its session may spoil one or two slots before it finds out.
SLOTS = 4

#: Bytes of state in a chunk: far below the broker's limit of 8 MiB for a record.
CHUNK_BYTES = 512 * 1024


class Rejected(StrEnum):
    """Why a manifest does not count."""

    #: It is not a manifest of this app and partition.
    UNREADABLE = "unreadable"
    #: A chunk is not there.
    MISSING_CHUNK = "missing chunk"
    #: The chunks are not the state that was written.
    CHECKSUM = "checksum"
    #: The layout of the state is not the one the processor knows.
    UNKNOWN_VERSION = "unknown version"
    #: It names records that the input topic does not have (any more): the topic was made anew or lost its end.
    AHEAD_OF_LOG = "ahead of the log"
    #: Its slot was being written again when the writer ended. Ordinary after a crash.
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A valid checkpoint."""

    next_offset: int
    """Offset of the first input record that the state does not hold."""
    generation: int
    """Generation of the consumer group in which it was written."""
    sequence: int
    """Counts up with each manifest of the partition."""
    state: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """A manifest that does not count."""

    key: str
    reason: Rejected
    next_offset: int
    """-1 when it could not be read."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of reading a checkpoint partition."""

    best: Checkpoint | None
    """None when there is none that counts."""
    last_sequence: int
    """The highest sequence seen; 0 for none."""
    rejected: tuple[Rejection, ...]

    @property
    def starts_over(self) -> bool:
        """Whether checkpoints exist and none counts, so that everything is computed from the beginning of the topic."""
        return self.best is None and bool(self.rejected)


@dataclass(slots=True)
class _Entry:
    """A manifest as it lay in the log, with the chunks that stood before it."""

    position: int
    manifest: CheckpointManifest | None
    chunks: list[bytes | None] = field(default_factory=list)


def manifest_key(partition: int, slot: int) -> str:
    """Key of a manifest. partition: of the input topic. slot: 0..SLOTS-1."""
    return f"manifest/{partition}/{slot}"


def chunk_key(partition: int, slot: int, index: int) -> str:
    """Key of a part of a state. index: from 0."""
    return f"chunk/{partition}/{slot}/{index}"


class CheckpointLog:
    """Folds the records of one checkpoint partition, in the order of the log."""

    def __init__(self, app: str, partition: int) -> None:
        self._app = app
        self._partition = partition
        self._manifests: dict[str, _Entry] = {}
        self._chunks: dict[str, tuple[int, bytes | None]] = {}

    def add(self, position: int, key: bytes, value: bytes | None) -> None:
        """Take the next record. position: its offset in the checkpoint topic. value: empty or None for a deleted key."""
        name = key.decode("utf-8", "replace")
        if name.startswith(f"chunk/{self._partition}/"):
            self._chunks[name] = (position, value or None)
        elif name.startswith(f"manifest/{self._partition}/"):
            self._add_manifest(position, name, value)

    def _add_manifest(self, position: int, name: str, value: bytes | None) -> None:
        if not value:
            self._manifests.pop(name, None)
            return
        manifest = _parse(value)
        if manifest is None or manifest.app != self._app or manifest.partition != self._partition:
            self._manifests[name] = _Entry(position, None)
            return
        self._manifests[name] = _Entry(position, manifest, [self._chunks.get(key, (0, None))[1] for key in manifest.chunk_keys])

    def choose(self, state_version: int, end_offset: int) -> Choice:
        """The valid checkpoint with the highest offset; of several with one offset, that of the latest generation.

        state_version: the layout that the processor knows. end_offset: end of the input partition now.
        The order of writing does not count: a worker woken after its session writes last, and less. Nor does an older generation that came further:
        a state is a function of the records below its offset, so whoever computed it, it is the same.
        """
        valid: list[Checkpoint] = []
        rejected: list[Rejection] = []
        for key, entry in self._manifests.items():
            outcome = self._judge(entry, state_version, end_offset)
            if isinstance(outcome, Checkpoint):
                valid.append(outcome)
            else:
                rejected.append(Rejection(key, outcome, entry.manifest.next_offset if entry.manifest else -1))
        last = max((entry.manifest.sequence for entry in self._manifests.values() if entry.manifest), default=0)
        return Choice(max(valid, key=_rank, default=None), last, tuple(rejected))

    def _judge(self, entry: _Entry, state_version: int, end_offset: int) -> Checkpoint | Rejected:
        manifest = entry.manifest
        if manifest is None:
            return Rejected.UNREADABLE
        if manifest.state_version != state_version:
            return Rejected.UNKNOWN_VERSION
        if manifest.next_offset > end_offset:
            return Rejected.AHEAD_OF_LOG
        state = _state(entry.chunks, manifest.sha256)
        if state is None:
            return self._damage(entry, manifest)
        return Checkpoint(manifest.next_offset, manifest.generation, manifest.sequence, state)

    def _damage(self, entry: _Entry, manifest: CheckpointManifest) -> Rejected:
        """Why the chunks before a manifest are not its state."""
        if any(self._chunks.get(key, (0, None))[0] > entry.position for key in manifest.chunk_keys):
            return Rejected.OVERWRITTEN
        return Rejected.MISSING_CHUNK if None in entry.chunks else Rejected.CHECKSUM


def chunk_records(partition: int, slot: int, state: bytes) -> list[tuple[str, bytes]]:
    """The chunks of a state: key and record, in order. An empty state has none."""
    starts = range(0, len(state), CHUNK_BYTES)
    return [
        (chunk_key(partition, slot, index), CheckpointChunk(index=index, data=state[start : start + CHUNK_BYTES]).SerializeToString())
        for index, start in enumerate(starts)
    ]


def _rank(checkpoint: Checkpoint) -> tuple[int, int, int]:
    return checkpoint.next_offset, checkpoint.generation, checkpoint.sequence


def _parse(value: bytes) -> CheckpointManifest | None:
    try:
        return CheckpointManifest.FromString(value)
    except DecodeError:
        return None


def _state(chunks: list[bytes | None], sha256: bytes) -> bytes | None:
    """The state, when every chunk is the one that was written."""
    parts = []
    for index, value in enumerate(chunks):
        chunk = _parse_chunk(value)
        if chunk is None or chunk.index != index:
            return None
        parts.append(chunk.data)
    state = b"".join(parts)
    return state if hashlib.sha256(state).digest() == sha256 else None


def _parse_chunk(value: bytes | None) -> CheckpointChunk | None:
    try:
        return CheckpointChunk.FromString(value) if value is not None else None
    except DecodeError:
        return None
