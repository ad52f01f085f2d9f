import hashlib

import pytest
from signalbox.events.v1.checkpoint_pb2 import CheckpointChunk, CheckpointManifest

from services.runtime.stream.manifests import CHUNK_BYTES, SLOTS, CheckpointLog, Choice, Rejected, chunk_key, chunk_records, manifest_key

PARTITION = 3


class Log:
    """A checkpoint partition as a list, with the steps of a writer."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes]] = []

    def chunks(self, state: bytes, sequence: int) -> list[str]:
        chunks = chunk_records(PARTITION, sequence % SLOTS, state)
        self.records += [(key.encode(), value) for key, value in chunks]
        return [key for key, _ in chunks]

    def checkpoint(
        self, offset: int, sequence: int, *, state: bytes | None = None, generation: int = 1, version: int = 1, change: tuple[str, object] | None = None
    ) -> None:
        state = b"state %d" % offset if state is None else state
        keys = self.chunks(state, sequence)
        manifest = CheckpointManifest(
            app="toy",
            partition=PARTITION,
            next_offset=offset,
            generation=generation,
            chunk_keys=keys,
            sha256=hashlib.sha256(state).digest(),
            state_version=version,
            sequence=sequence,
        )
        if change:
            setattr(manifest, *change)
        self.records.append((manifest_key(PARTITION, sequence % SLOTS).encode(), manifest.SerializeToString()))

    def drop(self, key: str) -> None:
        self.records = [record for record in self.records if record[0] != key.encode()]

    def compact(self) -> None:
        last = {key: at for at, (key, _) in enumerate(self.records)}
        self.records = [record for at, record in enumerate(self.records) if last[record[0]] == at]

    def choose(self, version: int = 1, end: int = 1_000_000) -> Choice:
        log = CheckpointLog("toy", PARTITION)
        for position, (key, value) in enumerate(self.records):
            log.add(position, key, value)
        return log.choose(version, end)


def reasons(choice: Choice) -> list[Rejected]:
    return [rejection.reason for rejection in choice.rejected]


def test_nothing_written_is_a_quiet_beginning() -> None:
    choice = Log().choose()
    assert choice == Choice(None, 0, ())
    assert not choice.starts_over


def test_the_highest_offset_wins_not_the_last_written() -> None:
    log = Log()
    log.checkpoint(1662, sequence=9, generation=2)
    log.checkpoint(751, sequence=6, generation=1)  # woken after its session
    best = log.choose().best
    assert best is not None
    assert (best.next_offset, best.state) == (1662, b"state 1662")


def test_a_higher_offset_of_an_older_generation_wins() -> None:
    """Harmless: states are deterministic, so the one for 1662 is the same whoever wrote it."""
    log = Log()
    log.checkpoint(751, sequence=9, generation=2)
    log.checkpoint(1662, sequence=6, generation=1)
    best = log.choose().best
    assert best is not None
    assert (best.next_offset, best.generation, best.state) == (1662, 1, b"state 1662")


def test_of_equal_offsets_the_later_generation_wins() -> None:
    log = Log()
    log.checkpoint(100, sequence=5, generation=7, state=b"seven")
    log.checkpoint(100, sequence=6, generation=6, state=b"six")
    best = log.choose().best
    assert best is not None
    assert best.state == b"seven"


@pytest.mark.parametrize("compacted", [False, True])
def test_slots_rotate_and_older_ones_remain(compacted: bool) -> None:
    log = Log()
    for sequence in range(1, 3 * SLOTS):
        log.checkpoint(10 * sequence, sequence)
    if compacted:
        log.compact()
    choice = log.choose()
    assert choice.best is not None
    assert choice.best.next_offset == 10 * (3 * SLOTS - 1)
    assert choice.last_sequence == 3 * SLOTS - 1
    assert choice.rejected == ()
    log.records.append((manifest_key(PARTITION, choice.best.sequence % SLOTS).encode(), b"\xff"))
    fallback = log.choose().best
    assert fallback is not None
    assert fallback.next_offset == 10 * (3 * SLOTS - 2)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_slot_whose_writer_was_killed_between_chunks_and_manifest(compacted: bool) -> None:
    log = Log()
    for sequence in range(1, SLOTS + 1):
        log.checkpoint(10 * sequence, sequence)
    log.chunks(b"never finished", SLOTS + 1)
    if compacted:
        log.compact()
    choice = log.choose()
    assert choice.best is not None
    assert choice.best.next_offset == 10 * SLOTS
    assert reasons(choice) == ([Rejected.OVERWRITTEN] if compacted else [])


def test_missing_chunk() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.checkpoint(20, sequence=2, state=bytes(3 * CHUNK_BYTES))
    log.drop(chunk_key(PARTITION, 2, 1))
    choice = log.choose()
    assert choice.best is not None
    assert choice.best.next_offset == 10
    assert reasons(choice) == [Rejected.MISSING_CHUNK]


def test_deleted_chunk_and_deleted_manifest() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.checkpoint(20, sequence=2)
    log.records.append((manifest_key(PARTITION, 1).encode(), b""))
    log.records.insert(3, (chunk_key(PARTITION, 2, 0).encode(), b""))
    assert reasons(log.choose()) == [Rejected.MISSING_CHUNK]


def test_wrong_checksum() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.checkpoint(20, sequence=2, change=("sha256", bytes(32)))
    choice = log.choose()
    assert choice.best is not None
    assert choice.best.next_offset == 10
    assert reasons(choice) == [Rejected.CHECKSUM]


def test_chunks_in_another_order() -> None:
    log = Log()
    state = bytes(CHUNK_BYTES) + b"x" * CHUNK_BYTES
    log.checkpoint(10, sequence=1, state=state)
    (first, a), (second, b) = log.records[:2]
    log.records[:2] = [(first, b), (second, a)]
    assert reasons(log.choose()) == [Rejected.CHECKSUM]


def test_chunk_that_is_not_a_chunk() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.records[0] = (log.records[0][0], b"\xff\xff")
    assert reasons(log.choose()) == [Rejected.CHECKSUM]


def test_unknown_version_is_refused_and_starts_over_when_alone() -> None:
    log = Log()
    log.checkpoint(10, sequence=1, version=2)
    choice = log.choose(version=1)
    assert choice.starts_over
    assert reasons(choice) == [Rejected.UNKNOWN_VERSION]


def test_offset_beyond_the_end_of_the_topic() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.checkpoint(21, sequence=2)
    choice = log.choose(end=20)
    assert choice.best is not None
    assert choice.best.next_offset == 10
    assert reasons(choice) == [Rejected.AHEAD_OF_LOG]


def test_manifest_of_somebody_else() -> None:
    for changes in ("app", "other"), ("partition", 1):
        log = Log()
        log.checkpoint(10, sequence=1, change=changes)
        assert reasons(log.choose()) == [Rejected.UNREADABLE]


def test_manifest_that_is_not_a_manifest() -> None:
    log = Log()
    log.records.append((manifest_key(PARTITION, 0).encode(), b"\xff\xff"))
    choice = log.choose()
    assert choice.starts_over
    assert choice.rejected[0].next_offset == -1


def test_other_partitions_and_keys_are_left_alone() -> None:
    log = Log()
    log.records += [(manifest_key(30, 0).encode(), b"\xff"), (b"\xff\xfe", b"x"), (b"", b"")]
    assert log.choose() == Choice(None, 0, ())


def test_an_empty_state_has_no_chunks() -> None:
    log = Log()
    log.checkpoint(10, sequence=1, state=b"")
    best = log.choose().best
    assert best is not None
    assert best.state == b""


def test_chunks_are_cut_at_the_limit() -> None:
    chunks = chunk_records(0, 2, bytes(2 * CHUNK_BYTES + 1))
    assert [key for key, _ in chunks] == ["chunk/0/2/0", "chunk/0/2/1", "chunk/0/2/2"]
    assert [len(CheckpointChunk.FromString(value).data) for _, value in chunks] == [CHUNK_BYTES, CHUNK_BYTES, 1]


def test_two_writers_mixed_in_one_slot() -> None:
    log = Log()
    log.checkpoint(10, sequence=1)
    log.checkpoint(20, sequence=2)
    log.chunks(b"of the worker that was woken", 2)
    log.records.append(log.records.pop(-2))  # the manifest of the other came after these chunks
    choice = log.choose()
    assert choice.best is not None
    assert choice.best.next_offset == 10
    assert reasons(choice) == [Rejected.CHECKSUM]
