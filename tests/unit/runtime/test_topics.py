"""The registry of topics, and the documents that come from it."""

import pytest

from services.runtime.partitions import murmur2, partition_of
from services.runtime.topic_docs import proto_file, rendered
from services.runtime.topics import ALL_TOPICS, RESULTS, TOPICS, Layout


def test_documents_are_as_the_registry_says() -> None:
    stale = [path.name for path, text in rendered().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert not stale, f"run `make docs`: {stale}"


def test_names_are_unique_and_versioned() -> None:
    names = [topic.name for topic in ALL_TOPICS]
    assert len(names) == len(set(names))
    assert all(topic.name.rpartition(".")[2].startswith("v") for topic in TOPICS)


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.name)
def test_message_exists_and_growth_is_bounded(topic) -> None:  # type: ignore[no-untyped-def]
    assert proto_file(topic.message).exists()
    if topic.layout is Layout.KEYED:
        assert topic.key
        assert topic.config()["cleanup.policy"] == "compact"
    elif topic.name == RESULTS.name:
        # Kept for good: they are few, and small beside what they are about.
        assert (topic.config()["retention.bytes"], topic.config()["retention.ms"]) == ("-1", "-1")
    else:
        assert 0 < int(topic.config()["retention.bytes"]) <= 1 << 30
        assert int(topic.config()["segment.bytes"]) * 4 <= max(4 << 20, topic.retention_bytes)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # From Kafka's own UtilsTest.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected % 2**32


def test_partition_is_within_range_and_refuses_none() -> None:
    assert {partition_of(f"S{n}.XNAS", 4) for n in range(200)} == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="partitions"):
        partition_of("AAPL.XNAS", 0)
