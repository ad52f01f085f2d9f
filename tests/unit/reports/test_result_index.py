"""The index of finished jobs: ids and offsets, and no more of them than allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.reports.adapters.results_topic import ResultIndex
from services.runtime.kafka import Record
from services.runtime.topics import RESULTS


def record(offset: int, key: str | None) -> Record:
    return Record(RESULTS.name, 0, offset, key.encode() if key is not None else None, b"", [], 0)


def test_the_last_record_of_a_job_counts() -> None:
    index = ResultIndex(10)
    index.add([record(0, "a"), record(1, "b"), record(2, "a"), record(3, None)])
    assert [index.offset(each) for each in ("a", "b", "c")] == [2, 1, None]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=12), st.integers(1, 5))
def test_it_holds_the_newest_jobs_and_no_more(batches: list[list[str]], limit: int) -> None:
    index, offset, newest = ResultIndex(limit), 0, dict[str, int]()
    for batch in batches:
        records = []
        for key in batch:
            records.append(record(offset, key))
            newest[key] = offset
            offset += 1
        index.add(records)
    kept = sorted(newest.values(), reverse=True)[:limit]
    assert [index.offset(key) for key in "abcdefgh"] == [newest[key] if newest.get(key, -1) in kept else None for key in "abcdefgh"]
