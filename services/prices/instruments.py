"""Instruments: what a symbol may look like, and how many decimal digits its prices and sizes have.

Digits are fixed for a symbol, because sums in bars are sums of integers. They are found in this order: the file of overrides, the table of
symbols, the rule of the market (MIC), the default.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from services.prices.sessions import UTC_DAY_MICS
from services.runtime.errors import InvalidArgument, SignalboxError

#: What prices_service.proto promises: ticker, one dot, MIC.
_SYMBOL = re.compile(r"(?P<ticker>[A-Z0-9_=^-]+)\.(?P<mic>[A-Z0-9_=^-]+)")
_MAX_LENGTH = 32

#: The largest number of digits an events.v1.Instrument may have.
MAX_DIGITS = 9

#: Environment variable with the path of a TOML file of overrides.
OVERRIDES_ENV = "SIGNALBOX_INSTRUMENTS"

SYMBOL_EXPECTED = "ticker dot MIC as in AAPL.XNAS: at most 32 characters of A-Z, 0-9, '-', '_', '=', '^' around one dot"


class MalformedSymbol(InvalidArgument):
    """A symbol that is not ticker dot MIC."""

    def __init__(self, symbol: str) -> None:
        super().__init__("symbol", symbol, SYMBOL_EXPECTED)


class BadOverrides(SignalboxError):
    """The file of overrides cannot be used."""

    reason = "BAD_OVERRIDES"

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol and its fixed point. price = integer / 10**price_digits, size likewise; digits 0 to 9."""

    symbol: str
    price_digits: int
    size_digits: int
    mic: str


@dataclass(frozen=True, slots=True)
class Digits:
    """Decimal digits of prices and of sizes, 0 to 9 each."""

    price: int
    size: int


#: Trades below a cent happen (midpoint and retail prints have four digits), and fractions of a share are reported with up to six.
_US_EQUITY = Digits(4, 6)
#: A satoshi is the eighth digit. With vwap's four digits more, prices up to 9.2 million fit an int64.
_CRYPTO = Digits(8, 8)
#: For a market nobody has described: more digits than most need, and room for prices up to 920 million.
_DEFAULT = Digits(6, 6)

#: Futures trade in whole contracts; their tick decides the digits.
_SYMBOLS: Mapping[str, Digits] = {
    "ES.XCME": Digits(2, 0),
    "NQ.XCME": Digits(2, 0),
    "RTY.XCME": Digits(2, 0),
    "YM.XCBT": Digits(0, 0),
    "CL.XNYM": Digits(2, 0),
    "GC.XCEC": Digits(1, 0),
    "TEST.XSIM": Digits(2, 0),
}

_MICS: Mapping[str, Digits] = {
    **dict.fromkeys(("XNAS", "XNYS", "ARCX", "XASE", "BATS", "IEXG", "XBOS", "XPHL", "XCHI", "EDGX", "EDGA", "BATY", "MEMX", "OTCM", "OOTC"), _US_EQUITY),
    # Ticks of a 32nd's quarter need seven digits; whole contracts.
    **dict.fromkeys(("XCME", "XCBT", "XNYM", "XCEC"), Digits(7, 0)),
    **dict.fromkeys(UTC_DAY_MICS, _CRYPTO),
    "XSIM": Digits(2, 0),
}


@dataclass(frozen=True, slots=True)
class InstrumentBook:
    """Digits by symbol and by market; what is missing here is looked up in the built-in tables."""

    symbols: Mapping[str, Digits] = field(default_factory=dict)
    mics: Mapping[str, Digits] = field(default_factory=dict)

    def instrument_of(self, symbol: str) -> Instrument:
        """The instrument of a symbol. Raises MalformedSymbol."""
        mic = mic_of(symbol)
        digits = self.symbols.get(symbol) or self.mics.get(mic) or _SYMBOLS.get(symbol) or _MICS.get(mic, _DEFAULT)
        return Instrument(symbol, digits.price, digits.size, mic)


def mic_of(symbol: str) -> str:
    """The market of a symbol: the part after the dot. Raises MalformedSymbol."""
    match = _SYMBOL.fullmatch(symbol) if len(symbol) <= _MAX_LENGTH else None
    if match is None:
        raise MalformedSymbol(symbol)
    return match["mic"]


@lru_cache(maxsize=65536)
def instrument_of(symbol: str) -> Instrument:
    """The instrument of a symbol, with the overrides that SIGNALBOX_INSTRUMENTS names.

    Raises MalformedSymbol; BadOverrides and OSError on the first call when the file cannot be used.
    """
    return _book().instrument_of(symbol)


@lru_cache(maxsize=1)
def _book() -> InstrumentBook:
    path = os.environ.get(OVERRIDES_ENV)
    return load_overrides(Path(path)) if path else InstrumentBook()


def load_overrides(path: Path) -> InstrumentBook:
    """Read overrides: tables `symbols` and `mics`, each entry `NAME = {price_digits = 2, size_digits = 0}`. Raises BadOverrides, OSError."""
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadOverrides(path, f"is not TOML: {error}") from error
    unknown = sorted(set(document) - {"symbols", "mics"})
    if unknown:
        raise BadOverrides(path, f"expected tables `symbols` and `mics`, found {', '.join(unknown)}")
    book = InstrumentBook(_digits_table(path, document.get("symbols", {})), _digits_table(path, document.get("mics", {})))
    for symbol in book.symbols:
        mic_of(symbol)
    return book


def _digits_table(path: Path, table: Mapping[str, Mapping[str, object]]) -> dict[str, Digits]:
    return {name: _digits(path, name, entry) for name, entry in table.items()}


def _digits(path: Path, name: str, entry: Mapping[str, object]) -> Digits:
    return Digits(_number(path, name, entry, "price_digits"), _number(path, name, entry, "size_digits"))


def _number(path: Path, name: str, entry: Mapping[str, object], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_DIGITS:
        raise BadOverrides(path, f"{name}: expected {key} 0 to {MAX_DIGITS}, was {value!r}")
    return value
