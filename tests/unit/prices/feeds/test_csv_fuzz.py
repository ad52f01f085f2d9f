"""Any line in a file of trades: a tick or a bad row with a reason, never nothing and never an end of the whole."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.prices.feeds.errors import DataUnreadable
from services.prices.feeds.file_columns import find_columns
from services.prices.feeds.file_rows import RowReader
from services.prices.feeds.file_source import open_source
from services.prices.feeds.file_times import NoTimes, TimeReader
from services.prices.instruments import instrument_of
from services.runtime.errors import InvalidArgument

_FIELD = st.one_of(
    st.sampled_from(
        ("1381156200", "1381156201.5", "2013-10-07T14:30:00Z", "13.25", "100", "0", "-1", "nan", "inf", "1e400", "", " ", "0x10", "1,5", '"', "\x00")
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12),
)
_LINE = st.one_of(st.just("1381156200,13.25,100"), st.lists(_FIELD, min_size=3, max_size=3).map(",".join), st.lists(_FIELD, max_size=5).map(",".join))


@st.composite
def damaged_gzip(draw: st.DrawFn) -> bytes:
    """A packed file that was cut, or with a byte changed."""
    packed = bytearray(gzip.compress(b"ts,price,size\n" + b"1381156200,13.25,100\n" * draw(st.integers(0, 50)), mtime=0))
    packed[draw(st.integers(0, len(packed) - 1))] ^= draw(st.integers(0, 255))
    return bytes(packed[: draw(st.integers(0, len(packed)))])


def _rows_and_bad(path: Path) -> tuple[int, int] | str:
    """How many ticks and bad rows; or why the whole file is refused, for instance because no line of it has a time."""
    try:
        return _read(path)
    except (NoTimes, DataUnreadable, InvalidArgument) as error:
        return str(error)


def _read(path: Path) -> tuple[int, int]:
    source = open_source(path, header=True)
    try:
        reader = RowReader(find_columns(str(path), source.names, {}), "BAC.XNYS", instrument_of, TimeReader(None, lambda _: None), lambda _: None)
        found = [reader.read(chunk, lambda _: 0, {}) for chunk in source.chunks(reader.wanted)]
    finally:
        source.close()
    for _, bad in found:
        assert all(row.why for row in bad)
    return sum(len(rows.ts_event) for rows, _ in found), sum(len(bad) for _, bad in found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(_LINE, min_size=1, max_size=12))
def test_each_line_is_a_tick_or_a_bad_row(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(("ts,price,size\n" + "\n".join(lines) + "\n").encode())
    found = _rows_and_bad(path)
    assert found
    # An unclosed quotation mark makes one row of several lines, and a line without anything in its fields is no row.
    if isinstance(found, tuple) and not any('"' in line for line in lines):
        assert sum(found) == sum(line not in {"", ",,"} for line in lines)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), damaged_gzip()))
@pytest.mark.parametrize("name", ["f.csv", "f.parquet", "f.csv.gz"])
def test_no_file_is_worse_than_refused(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert _rows_and_bad(path)
