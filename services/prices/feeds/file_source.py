"""Files of trades read in chunks: CSV (also gzipped) and Parquet. Memory is bounded by the size of a chunk, whatever the size of the file."""

import csv as text_csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from services.prices.feeds.arrow_columns import one_array
from services.prices.feeds.errors import DataUnreadable
from services.prices.sequencer import Int64Array

#: Bytes of text in one chunk: some 25,000 rows, converted in about ten milliseconds.
_BLOCK = 1 << 20
#: A longer line is no line of trades.
_LONGEST_LINE = 16 << 20
#: Rows of a Parquet file in one chunk.
_BATCH = 32_768
_DELIMITERS = ",;\t|"


class BrokenRow(NamedTuple):
    """A row that is not even a row. line: in the file, from 1; raw: its bytes."""

    line: int
    why: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file."""

    columns: Sequence[pa.Array]
    """The columns asked for, in that order."""
    lines: Int64Array
    """Line of each row in the file, from 1 (Parquet: row, from 1), shape (n,)."""
    raw: Callable[[int], bytes]
    """The bytes of a row (index in the chunk) as they are in the file; for Parquet the row as JSON."""
    broken: Sequence[BrokenRow]
    """Rows that could not be split into columns."""


class FileSource(Protocol):
    """An open file of rows."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns; numbers from 1 when the file names none."""
        ...

    @property
    def done(self) -> int:
        """How much was read, in `unit`."""
        ...

    @property
    def total(self) -> int:
        """How much there is, in `unit`."""
        ...

    @property
    def unit(self) -> str:
        """`bytes` or `rows`."""
        ...

    def chunks(self, columns: Sequence[int]) -> Iterator[Chunk]:
        """The file from its beginning, these columns only. Raises DataUnreadable."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


def open_source(path: Path, *, header: bool = True) -> FileSource:
    """Open a file by its ending: .parquet or .pq, else CSV, gzipped when it begins like gzip. Raises DataUnreadable."""
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return ParquetSource(path)
        return CsvSource(path, header=header)
    except (OSError, pa.ArrowException) as error:
        raise DataUnreadable(str(path), str(error)) from error


class CsvSource:
    """A CSV file, UTF-8, with or without a header line; the delimiter is the one of `, ; tab |` that its first line has most of."""

    unit = "bytes"

    def __init__(self, path: Path, *, header: bool = True) -> None:
        self._path = path
        self._file = path.open("rb")
        self.total = path.stat().st_size
        gzipped = self._file.peek(2)[:2] == b"\x1f\x8b"
        self._text = cast(BinaryIO, gzip.GzipFile(fileobj=self._file)) if gzipped else self._file
        self._rest = self._unpacked(lambda: self._text.readline(_LONGEST_LINE))
        first = self._decoded(self._rest)
        self._delimiter = max(_DELIMITERS, key=first.count)
        cells = self._cells(first)
        if not cells:
            self.close()
            raise DataUnreadable(str(path), "expected a line of column names, the file begins with an empty line" if self.total else "the file is empty")
        self.names = cells if header else [str(at + 1) for at in range(len(cells))]
        self._line = 1
        if header:
            self._rest, self._line = b"", 2

    @property
    def done(self) -> int:
        """Bytes of the file that were read, before unpacking."""
        return self._file.tell()

    def close(self) -> None:
        """Closes the file."""
        self._text.close()
        self._file.close()

    def chunks(self, columns: Sequence[int]) -> Iterator[Chunk]:
        """As FileSource says."""
        for block in self._blocks():
            chunk = self._parsed(block, columns)
            self._line += block.count(b"\n") + (not block.endswith(b"\n"))
            yield chunk

    def _cells(self, line: str) -> list[str]:
        try:
            return [cell.strip() for cell in next(text_csv.reader([line], delimiter=self._delimiter), [])]
        except text_csv.Error as error:
            raise DataUnreadable(str(self._path), f"the first line is not CSV: {error}") from error

    def _decoded(self, line: bytes) -> str:
        try:
            return line.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataUnreadable(str(self._path), f"the first line is not UTF-8: {error}") from error

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines."""
        while read := self._read():
            block = self._rest + read
            end = block.rfind(b"\n") + 1
            self._rest = block[end:]
            if len(self._rest) > _LONGEST_LINE:
                raise DataUnreadable(str(self._path), f"line {self._line + block[:end].count(10)} is longer than {_LONGEST_LINE} bytes")
            if end:
                yield block[:end]
        if self._rest:
            yield self._rest

    def _read(self) -> bytes:
        return self._unpacked(lambda: self._text.read(_BLOCK))

    def _unpacked(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (OSError, EOFError, zlib.error) as error:
            raise DataUnreadable(str(self._path), f"cannot be unpacked: {error}") from error

    def _parsed(self, block: bytes, columns: Sequence[int]) -> Chunk:
        broken: list[csv.InvalidRow] = []

        def skip(row: csv.InvalidRow) -> str:
            broken.append(row)
            return "skip"

        names = [str(at) for at in range(len(self.names))]
        table = csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
            csv.ParseOptions(delimiter=self._delimiter, ignore_empty_lines=False, invalid_row_handler=skip),
            csv.ConvertOptions(
                include_columns=[names[at] for at in columns],
                column_types=dict.fromkeys(names, pa.binary()),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
        skipped = np.array([row.number for row in broken], np.int64) - 1
        lines = np.delete(np.arange(table.num_rows + len(skipped), dtype=np.int64), skipped)
        return Chunk(
            [one_array(table[at]) for at in range(len(columns))],
            lines + self._line,
            lambda row: _line_of(block, int(lines[row])),
            [
                BrokenRow(self._line + row.number - 1, f"expected {row.expected_columns} columns, found {row.actual_columns}", row.text.encode())
                for row in broken
            ],
        )


def _line_of(block: bytes, number: int) -> bytes:
    return block.splitlines()[number]


class ParquetSource:
    """A Parquet file."""

    unit = "rows"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = parquet.ParquetFile(path)
        self.names: list[str] = list(self._file.schema_arrow.names)
        self.total: int = self._file.metadata.num_rows
        self.done = 0

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def chunks(self, columns: Sequence[int]) -> Iterator[Chunk]:
        """As FileSource says."""
        names = [self.names[at] for at in columns]
        try:
            for batch in self._file.iter_batches(_BATCH, columns=names):
                yield self._chunk(batch, names)
        except pa.ArrowException as error:
            raise DataUnreadable(str(self._path), str(error)) from error

    def _chunk(self, batch: pa.RecordBatch, names: Sequence[str]) -> Chunk:
        first, self.done = self.done, self.done + batch.num_rows
        arrays = [_plain(batch.column(name)) for name in names]
        lines = np.arange(first + 1, self.done + 1, dtype=np.int64)
        return Chunk(arrays, lines, lambda row: _as_json(names, arrays, row), ())


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _as_json(names: Sequence[str], columns: Sequence[pa.Array], row: int) -> bytes:
    return json.dumps({name: str(column[row]) for name, column in zip(names, columns, strict=True)}).encode()
