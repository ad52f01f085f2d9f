"""The file of 500,000 E-mini S&P 500 trades that the package mlfinpy carries. The package is located, never imported."""

from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pyarrow import csv

from services.prices.feeds.arrow_columns import int64_of, low_words_of, one_array
from services.prices.feeds.errors import DataMissing, DataUnreadable
from services.prices.feeds.ports import NS, Int64Array
from services.prices.feeds.zones import utc_of_local

#: The file gives no zone; the break on Labor Day at 10:29 and the first trade on a Sunday at 17:00 fit the exchange's own.
CHICAGO = ZoneInfo("America/Chicago")
#: From here on the trades are replayed; those before are history, enough to warm up every indicator of one-minute bars.
LIVE_FROM = datetime(2013, 9, 3, 7, 30, tzinfo=CHICAGO)


@dataclass(frozen=True, slots=True)
class EsTrades:
    """The trades in the order of the file. Columns of shape (n,): UTC nanoseconds, price and size in fixed point."""

    ts_event: Int64Array
    price: Int64Array
    size: Int64Array

    def __len__(self) -> int:
        return len(self.ts_event)

    @property
    def live_row(self) -> int:
        """Index of the first trade that is replayed and not history."""
        return int(np.searchsorted(self.ts_event, round(LIVE_FROM.timestamp()) * NS))


def locate() -> Path:
    """The CSV in the installed package. Raises DataMissing."""
    spec = find_spec("mlfinpy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "dataset" / "data" / "tick_data.csv"
        if path.is_file():
            return path
    raise DataMissing("mlfinpy's tick_data.csv", "install the Python package mlfinpy 0.1.2 (`uv sync`)")


def load(path: Path, price_digits: int, size_digits: int) -> EsTrades:
    """Read columns DateTime, Price, Volume. Raises DataUnreadable, also when times go backwards or a price has more digits."""
    types = {"DateTime": pa.timestamp("ns"), "Price": pa.decimal128(18, price_digits), "Volume": pa.decimal128(18, size_digits)}
    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]))
        local, price, size = (one_array(table[name]) for name in types)
        trades = EsTrades(utc_of_local(int64_of(local), CHICAGO), low_words_of(price), low_words_of(size))
    except (pa.ArrowInvalid, pa.ArrowKeyError, OverflowError) as error:
        raise DataUnreadable(str(path), str(error)) from error
    _check(path, trades)
    # Arrow keeps the memory of the parsed table, 45 MiB, for a next one that never comes.
    del table, local, price, size
    pa.default_memory_pool().release_unused()
    return trades


def _check(path: Path, trades: EsTrades) -> None:
    if len(trades) == 0 or trades.live_row == len(trades):
        raise DataUnreadable(str(path), f"expected trades after {LIVE_FROM.isoformat()}, found none")
    if np.any(np.diff(trades.ts_event) < 0):
        raise DataUnreadable(str(path), "expected times that never go backwards")
    if trades.price.min() <= 0 or trades.size.min() <= 0:
        raise DataUnreadable(str(path), "expected prices and sizes above zero")
