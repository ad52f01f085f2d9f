"""Instruments: what a symbol may look like, and how many decimal digits its prices and sizes have.

Digits are fixed for a symbol, because sums in bars are sums of integers. They are found in this order: the file of overrides, the table of
symbols, the rule of the market (MIC), the default.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from services.prices.instrument_settings import InstrumentSettings
from services.prices.sessions import UTC_DAY_MICS
from services.runtime.errors import InvalidArgument, SignalboxError

#: What prices_service.proto promises: ticker, one dot, MIC.
_SYMBOL = re.compile(r"(?P<ticker>[A-Z0-9_=^-]+)\.(?P<mic>[A-Z0-9_=^-]+)")
_MAX_LENGTH = 32

#: The largest number of digits an events.v1.Instrument may have.
MAX_DIGITS = 9

SYMBOL_EXPECTED = "ticker dot MIC as in AAPL.XNAS: at most 32 characters of A-Z, 0-9, '-', '_', '=', '^' around one dot"


class MalformedSymbol(InvalidArgument):
    """A symbol that is not ticker dot MIC."""

    def __init__(self, symbol: str) -> None:
        super().__init__("symbol", symbol, SYMBOL_EXPECTED)


class BadOverrides(SignalboxError):
    """The file of overrides cannot be used. problems: one line for each mistake."""

    reason = "BAD_OVERRIDES"

    def __init__(self, path: Path, *problems: str) -> None:
        super().__init__(f"{path}: {'; '.join(problems)}")
        self.path, self.problems = path, problems


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


def _is_symbol(text: str) -> bool:
    return len(text) <= _MAX_LENGTH and _SYMBOL.fullmatch(text) is not None


@lru_cache(maxsize=65536)
def instrument_of(symbol: str) -> Instrument:
    """The instrument of a symbol, with the overrides that SIGNALBOX_INSTRUMENTS names; processes have checked their file when they started.

    Raises MalformedSymbol.
    """
    return _book().instrument_of(symbol)


@lru_cache(maxsize=1)
def _book() -> InstrumentBook:
    path = InstrumentSettings().instruments
    return load_overrides(path) if path else InstrumentBook()


def load_overrides(path: Path) -> InstrumentBook:
    """Read overrides: tables `symbols` and `mics`, each entry `NAME = {price_digits = 2, size_digits = 0}`. Raises BadOverrides naming every mistake."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOverrides(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadOverrides(path, f"is not TOML: {error}") from error
    unknown = sorted(set(document) - {"symbols", "mics"})
    problems = [f"expected tables `symbols` and `mics`, found {', '.join(unknown)}"] if unknown else []
    book = InstrumentBook(*(_digits_table(name, document.get(name, {}), problems) for name in ("symbols", "mics")))
    problems += [f"{symbol}: expected {SYMBOL_EXPECTED}" for symbol in book.symbols if not _is_symbol(symbol)]
    if problems:
        raise BadOverrides(path, *problems)
    return book


def _digits_table(name: str, table: object, problems: list[str]) -> dict[str, Digits]:
    if not isinstance(table, dict):
        problems.append(f"{name}: expected a table, was {table!r}")
        return {}
    return {key: _digits(key, entry, problems) for key, entry in table.items()}


def _digits(name: str, entry: object, problems: list[str]) -> Digits:
    if not isinstance(entry, dict):
        problems.append(f"{name}: expected {{price_digits = 2, size_digits = 0}}, was {entry!r}")
        return _DEFAULT
    unknown = sorted(set(entry) - {"price_digits", "size_digits"})
    problems += [f"{name}: expected price_digits and size_digits, found {key}" for key in unknown]
    return Digits(*(_number(name, key, entry.get(key), problems) for key in ("price_digits", "size_digits")))


def _number(name: str, key: str, value: object, problems: list[str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_DIGITS:
        return value
    problems.append(f"{name}: expected {key} 0 to {MAX_DIGITS}, was {value!r}")
    return 0
