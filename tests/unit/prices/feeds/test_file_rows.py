"""Files of trades as people have them: every form of time, wrong rows among good ones, no memory for the whole."""

import gzip
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from services.prices.feeds import file_source
from services.prices.feeds.errors import DataUnreadable
from services.prices.feeds.file_columns import find_columns, parse_columns
from services.prices.feeds.file_rows import BadRow, RowReader
from services.prices.feeds.file_source import open_source
from services.prices.feeds.file_times import NoTimes, TimeReader
from services.prices.feeds.ports import NS
from services.prices.instruments import Instrument, instrument_of
from services.prices.sequencer import TickRows
from services.runtime.errors import InvalidArgument
from tests.unit.prices.feeds.feed_kit import write

_T0 = round(datetime(2013, 10, 7, 14, 30, tzinfo=UTC).timestamp()) * NS


def _read(
    path: Path,
    symbol: str | None = "BAC.XNYS",
    *,
    columns: str = "",
    tz: str | None = None,
    header: bool = True,
    floors: dict[str, int] | None = None,
) -> tuple[list[TickRows], list[BadRow], list[str]]:
    notices: list[str] = []
    source = open_source(path, header=header)
    wanted = find_columns(str(path), source.names, parse_columns(columns))
    reader = RowReader(wanted, symbol, _four_and_two, TimeReader(ZoneInfo(tz) if tz else None, notices.append), notices.append)
    chunks, bad = [], []
    for chunk in source.chunks(reader.wanted):
        rows, wrong = reader.read(chunk, lambda _: 0, floors or {})
        chunks.append(rows)
        bad += wrong
    source.close()
    return chunks, bad, notices


def _four_and_two(symbol: str) -> Instrument:
    found = instrument_of(symbol)
    return Instrument(found.symbol, 4, 2, found.mic)


def _flat(chunks: list[TickRows]) -> list[tuple[int, int, int, int]]:
    return [(int(t), int(p), int(s), int(q)) for rows in chunks for t, p, s, q in zip(rows.ts_event, rows.price, rows.size, rows.seq, strict=True)]


@pytest.mark.parametrize(
    ("text", "tz", "expected"),
    [
        ("1381156200", None, _T0),
        ("1381156200.25", None, _T0 + NS // 4),
        ("1381156200.123456789", None, _T0 + 123_456_789),
        ("1381156200123", None, _T0 + 123_000_000),
        ("1381156200123.5", None, _T0 + 123_500_000),
        ("1381156200123456", None, _T0 + 123_456_000),
        ("1381156200123456789", None, _T0 + 123_456_789),
        ("1.3811562e9", None, _T0),
        ("2013-10-07T14:30:00Z", None, _T0),
        ("2013-10-07 14:30:00.5", None, _T0 + NS // 2),
        ("2013-10-07T10:30:00-04:00", None, _T0),
        ("2013-10-07 10:30:00", "America/New_York", _T0),
        ("2013-10-07 14:30:00.123456789Z", None, _T0 + 123_456_789),
        (" 2013-10-07 14:30 ", None, _T0),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, text: str, tz: str | None, expected: int) -> None:
    chunks, bad, _ = _read(write(tmp_path / "f.csv", f"time,price,size\n{text},13.9,100\n"), tz=tz)
    assert (bad, _flat(chunks)) == ([], [(expected, 139_000, 10_000, 2)])


def test_that_times_without_a_zone_are_taken_as_utc_is_said_once(tmp_path: Path) -> None:
    _, _, notices = _read(write(tmp_path / "f.csv", "time,price,size\n" + "2013-10-07 14:30:00,1,1\n" * 3))
    assert notices == ["times carry no zone and are taken as UTC; --tz names another"]


@pytest.mark.parametrize("text", ["20131007", "20131007143000", "07/10/2013 14:30", "noon", ""])
def test_times_that_mean_nothing_certain_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoTimes, match="expected ISO 8601 or a number since 1970"):
        _read(write(tmp_path / "f.csv", f"time,price,size\n{text},1,1\n"))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("x,13.9,100", "ts: expected a time after 1970 and before 2200, was 'x'"),
        (",13.9,100", "ts: is missing"),
        ("2013-02-30T00:00:00Z,13.9,100", "ts: expected a time"),
        ("2250-01-01T00:00:00Z,13.9,100", "ts: expected a time"),
        ("2013-10-07T14:30:01Z,abc,100", "price: expected a number above zero with at most 4 decimal digits, was 'abc'"),
        ("2013-10-07T14:30:01Z,,100", "price: is missing"),
        ("2013-10-07T14:30:01Z,0,100", "price: expected a number above zero"),
        ("2013-10-07T14:30:01Z,-1,100", "price: expected a number above zero"),
        ("2013-10-07T14:30:01Z,nan,100", "price: expected a number above zero"),
        ("2013-10-07T14:30:01Z,inf,100", "price: expected a number above zero"),
        ("2013-10-07T14:30:01Z,1e30,100", "price: expected a number above zero"),
        ("2013-10-07T14:30:01Z,1.00001,100", "with at most 4 decimal digits, was '1.00001'"),
        ("2013-10-07T14:30:01Z,1,0.001", "size: expected a number above zero with at most 2 decimal digits"),
        ("2013-10-07T14:30:01Z,1,", "size: is missing"),
        ("2013-10-07T14:29:00Z,1,1", "ts: 60.000 s before a row above; the file must be in order within 2 s"),
        ("2013-10-07T14:30:01Z,1", "expected 3 columns, found 2"),
        ("2013-10-07T14:30:01Z,1,1,1", "expected 3 columns, found 4"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_rest_goes_on(tmp_path: Path, row: str, why: str) -> None:
    good = "2013-10-07T14:30:00Z,13.9,100\n"
    chunks, bad, _ = _read(write(tmp_path / "f.csv", f"time,price,size\n{good}{row}\n{good}"))
    assert [(each.line, each.raw) for each in bad] == [(3, row.encode())]
    assert why in bad[0].why
    assert [seq for *_, seq in _flat(chunks)] == [2, 4]


def test_bytes_that_are_no_text_spoil_their_row_only(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"time,price,size,note\n1381156200,1,1,\xff\xfe\n1381156200,\xff,1,x\n\xff,1,1,x\n1381156201,2,1,x\n")
    chunks, bad, _ = _read(path)
    assert [each.line for each in bad] == [3, 4]
    assert [seq for *_, seq in _flat(chunks)] == [2, 5]


def test_blank_lines_and_windows_line_ends_and_a_byte_order_mark_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes("\ufeffTime;Price;Qty\r\n1381156200;1.5;2\r\n\r\n1381156201; 1.25 ;3\r\n\r\n".encode())
    chunks, bad, _ = _read(path)
    assert (bad, _flat(chunks)) == ([], [(_T0, 15_000, 200, 2), (_T0 + NS, 12_500, 300, 4)])


def test_rows_within_the_lateness_bound_may_be_out_of_order(tmp_path: Path) -> None:
    chunks, bad, _ = _read(write(tmp_path / "f.csv", "ts,price,size\n1381156202,1,1\n1381156200,1,1\n1381156203,1,1\n1381156200.9,1,1\n"))
    assert [each.line for each in bad] == [5]
    assert [seq for *_, seq in _flat(chunks)] == [2, 3, 4]


def test_rows_of_bars_that_are_final_are_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "ts,price,size\n1381156200,1,1\n1381156201,1,1\n")
    _, bad, _ = _read(path, floors={"BAC.XNYS": _T0 + NS})
    assert [(each.line, "final already" in each.why) for each in bad] == [(2, True)]


def test_a_trade_id_is_the_sequence_when_it_is_a_number(tmp_path: Path) -> None:
    chunks, _, _ = _read(write(tmp_path / "a.csv", "ts_s,trade_id,price,size\n1381156200,77,1,1\n"))
    assert _flat(chunks)[0][3] == 77
    chunks, bad, notices = _read(write(tmp_path / "b.csv", "ts_s,trade_id,price,size\n1381156200,4f3a,1,1\n"))
    assert (_flat(chunks)[0][3], bad) == (2, [])
    assert any("line in the file is used" in notice for notice in notices)
    _, bad, _ = _read(write(tmp_path / "c.csv", "ts_s,trade_id,price,size\n1381156200,4f3a,1,1\n"), columns="seq=trade_id")
    assert "seq: expected a whole number above zero" in bad[0].why


def test_a_column_of_symbols_gives_many_instruments(tmp_path: Path) -> None:
    text = "ts,symbol,price,size\n1381156200,BAC.XNYS,1,1\n1381156200,SPY.ARCX,2,1\n1381156200,bad,3,1\n1381156201,BAC.XNYS,4,1\n"
    chunks, bad, _ = _read(write(tmp_path / "f.csv", text), symbol=None)
    assert chunks[0].symbols == ("BAC.XNYS", "SPY.ARCX")
    assert chunks[0].symbol.tolist() == [0, 1, 0]
    assert [each.why for each in bad] == ["symbol: expected ticker dot MIC as in AAPL.XNAS, was 'bad'"]


def test_one_symbol_for_a_file_of_several_takes_the_first_only(tmp_path: Path) -> None:
    text = "ts,symbol,price,size\n1381156200,BAC,1,1\n1381156200,SPY,2,1\n1381156201,BAC,4,1\n"
    chunks, bad, _ = _read(write(tmp_path / "f.csv", text))
    assert len(_flat(chunks)) == 2
    assert [each.why for each in bad] == ["symbol: expected 'BAC' as in the first row, since one symbol is given for all, was 'SPY'"]


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "when,cost,size\n")
    with pytest.raises(DataUnreadable, match="column 'ts' not found; file has when, cost, size; use --columns ts=NAME"):
        _read(path)
    with pytest.raises(DataUnreadable, match="column 'price' not found"):
        _read(path, columns="ts=when")
    with pytest.raises(DataUnreadable, match="column 'Cost' for 'price' not found"):
        _read(path, columns="ts=when,price=Cost")


@pytest.mark.parametrize("text", ["ts", "ts=", "when=ts", "ts=a,ts=b", "=a"])
def test_columns_that_cannot_be_understood_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="role=column pairs"):
        parse_columns(text)


def test_a_file_without_a_line_of_names_is_read_by_position(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "10.5,1381156200,3,x\n10.25,1381156201,4,x\n")
    chunks, bad, _ = _read(path, columns="ts=2,price=1,size=3", header=False)
    assert (bad, [(p, s, q) for _, p, s, q in _flat(chunks)]) == ([], [(105_000, 300, 1), (102_500, 400, 2)])


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", gzip.compress(b"ts,price,size\n1381156200,1,1\n" * 2000, mtime=0)[:60]])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(DataUnreadable, match=r"f\.csv"):
        _read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="No such file"):
        open_source(tmp_path / "none.csv")
    with pytest.raises(DataUnreadable):
        open_source(write(tmp_path / "f.parquet", "not parquet"))


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=60), block=st.integers(1, 200))
def test_blocks_cut_no_row_and_lines_stay_right(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], block: int) -> None:
    rows = [f"{1_381_156_200 + at},{at + 1}.5,1,{'x' * length}" for at, length in enumerate(lengths)]
    rows.insert(len(rows) // 2, "bad,1,1,x")
    path = write(tmp_path_factory.mktemp("blocks") / "f.csv", "ts,price,size,note\n" + "\n".join(rows))
    normal, file_source._BLOCK = file_source._BLOCK, block
    try:
        chunks, bad, _ = _read(path)
    except NoTimes:
        assert "bad" in rows[0]
        return
    finally:
        file_source._BLOCK = normal
    assert [(each.line, each.raw) for each in bad] == [(2 + rows.index("bad,1,1,x"), b"bad,1,1,x")]
    assert [price for _, price, _, _ in _flat(chunks)] == [at * 10_000 + 15_000 for at in range(len(lengths))]


@given(st.decimals(Decimal("0.0001"), Decimal("900000000000000"), places=4))
def test_prices_are_exact(tmp_path_factory: pytest.TempPathFactory, price: Decimal) -> None:
    chunks, bad, _ = _read(write(tmp_path_factory.mktemp("exact") / "f.csv", f"ts,price,size\n1381156200,{price},1\n"))
    fits = int(price.scaleb(4)) < 2**63
    assert [p for _, p, _, _ in _flat(chunks)] == ([int(price.scaleb(4))] if fits else [])
    assert len(bad) == (not fits)


@pytest.mark.parametrize(
    ("ts", "kind"),
    [
        ([_T0, _T0 + NS], pa.timestamp("ns", "UTC")),
        ([_T0 // 1000, _T0 // 1000 + 10**6], pa.timestamp("us")),
        ([_T0 // 10**6, _T0 // 10**6 + 1000], pa.int64()),
        ([_T0 / NS, _T0 / NS + 1], pa.float64()),
        (["2013-10-07T14:30:00Z", "2013-10-07T14:30:01Z"], pa.string()),
    ],
)
@pytest.mark.parametrize("price", [pa.array([13.9, 1640.25]), pa.array([Decimal("13.90"), Decimal("1640.25")]), pa.array(["13.9", "1640.25"])])
def test_parquet_with_every_usual_type(tmp_path: Path, ts: list[object], kind: pa.DataType, price: pa.Array) -> None:
    path = tmp_path / "f.parquet"
    parquet.write_table(pa.table({"timestamp": pa.array(ts, kind), "price": price, "volume": pa.array([3, 4], pa.int32())}), path)
    chunks, bad, _ = _read(path)
    assert (bad, _flat(chunks)) == ([], [(_T0, 139_000, 300, 1), (_T0 + NS, 16_402_500, 400, 2)])


def test_missing_values_in_parquet_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    columns = {"ts": [_T0, None, _T0, _T0], "price": [1.5, 1.5, None, float("nan")], "size": [1, 1, 1, 1], "symbol": ["A.XNYS", "A.XNYS", "A.XNYS", None]}
    parquet.write_table(pa.table(columns), path)
    chunks, bad, _ = _read(path, symbol=None)
    assert [(each.line, each.why.split(":")[0]) for each in bad] == [(2, "ts"), (3, "price"), (4, "symbol")]
    assert bad[0].raw == b'{"ts": "None", "price": "1.5", "size": "1", "symbol": "A.XNYS"}'
    assert len(_flat(chunks)) == 1


def test_a_float_with_more_digits_than_the_instrument_is_refused_and_others_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    prices = np.array([0.1 + 0.2, 0.3, 1e-4, 123456.7891])
    parquet.write_table(pa.table({"ts": [_T0] * 4, "price": prices, "size": [1] * 4}), path)
    chunks, bad, _ = _read(path)
    assert [each.line for each in bad] == [1]
    assert [price for _, price, _, _ in _flat(chunks)] == [3000, 1, 1_234_567_891]


def test_a_zone_that_changes_its_offset_is_followed(tmp_path: Path) -> None:
    text = "time,price,size\n2013-11-03 00:59:59,1,1\n2013-11-03 01:30:00,1,1\n2013-11-03 02:00:00,1,1\n"
    chunks, _, _ = _read(write(tmp_path / "f.csv", text), tz="America/New_York")
    utc = [datetime.fromtimestamp(ts / NS, UTC).isoformat() for ts, *_ in _flat(chunks)]
    assert utc == ["2013-11-03T04:59:59+00:00", "2013-11-03T05:30:00+00:00", "2013-11-03T07:00:00+00:00"]


#: pyarrow imports pandas behind one's back, in `array`, `to_numpy`, `fill_null` and others.
_PROBE = """
import sys
from pathlib import Path
from services.prices.feeds.file_columns import find_columns
from services.prices.feeds.file_rows import RowReader
from services.prices.feeds.file_source import open_source
from services.prices.feeds.file_times import TimeReader
from services.prices.instruments import instrument_of
for path in sys.argv[1:]:
    source = open_source(Path(path))
    reader = RowReader(find_columns(path, source.names, {}), None, instrument_of, TimeReader(None, len), len)
    for chunk in source.chunks(reader.wanted):
        rows, bad = reader.read(chunk, lambda _: 0, {})
        assert (len(rows), len(bad)) == (1, 1), bad
print("pandas" in sys.modules)
"""


def test_reading_files_loads_no_pandas(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "time,symbol,price,size\n2013-10-07 14:30:00,BAC.XNYS,1,1\nx,y,z,1\n")
    table = pa.table({"ts": [_T0, None], "symbol": ["BAC.XNYS", None], "price": [1.0, None], "size": [1, None]})
    parquet.write_table(table, tmp_path / "f.parquet")
    done = subprocess.run([sys.executable, "-c", _PROBE, str(path), str(tmp_path / "f.parquet")], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
