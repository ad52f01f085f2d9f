"""Figures as text, the same in every format."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from services.reports.daily.model import SignalReport, SymbolReport

#: Shown for a figure that there is none of.
NONE = "–"
#: A figure and its unit stay on one line.
SPACE = "\u00a0"
MINUS = "\u2212"
#: Embeddings, overrides and isolates of the writing direction: in a title they would turn what follows it.
_DIRECTION_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NS = 1_000_000_000
_MAGNITUDES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def decimals_of(price: float) -> int:
    """Digits after the point that a price of this size is shown with: four or more significant ones."""
    size = abs(price)
    if size >= 1 or size == 0:
        return 2
    return min(8, 3 - math.floor(math.log10(size)))


def price(value: float | None) -> str:
    """`1,234.50`; small prices with as many digits as they need."""
    if value is None or not math.isfinite(value):
        return NONE
    return _minus(f"{value:,.{decimals_of(value)}f}")


def distance(value: float | None, like: float) -> str:
    """How far prices reach, with the digits of a price as large as `like`."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.{decimals_of(like)}f}"


def signed_price(value: float | None, like: float) -> str:
    """A difference of prices, `+1.25`, with the digits of a price as large as `like`."""
    if value is None or not math.isfinite(value):
        return NONE
    return _minus(f"{value:+,.{decimals_of(like)}f}")


def percent(fraction: float | None, digits: int = 2) -> str:
    """A change, with its sign: `+1.25%`."""
    if fraction is None or not math.isfinite(fraction):
        return NONE
    rounded = round(fraction * 100, digits)
    sign = "" if rounded == 0 else "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):,.{digits}f}%"


def share(fraction: float | None, digits: int = 0) -> str:
    """A part of a whole, without a sign: `58%`."""
    if fraction is None or not math.isfinite(fraction):
        return NONE
    return f"{fraction * 100:.{digits}f}%"


def ratio(value: float | None) -> str:
    """`1.8×`."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.1f}×" if value < 100 else f"{value:,.0f}×"


def number(value: float | None, digits: int = 1) -> str:
    """A figure without a unit."""
    if value is None or not math.isfinite(value):
        return NONE
    return _minus(f"{value:,.{digits}f}")


def count(value: float | None) -> str:
    """A whole number with separators, or a short one: `12,345`, `3.4M`."""
    if value is None or not math.isfinite(value):
        return NONE
    for size, unit in _MAGNITUDES:
        if abs(value) >= max(size, 1e5):
            return _minus(f"{value / size:,.1f}{unit}")
    return _minus(f"{value:,.0f}")


def megabytes(value: int | None) -> str:
    """Memory."""
    return NONE if value is None else f"{value / 1e6:,.0f}{SPACE}MB"


def milliseconds(value: float | None) -> str:
    """A duration of milliseconds; long ones as seconds."""
    if value is None or not math.isfinite(value):
        return NONE
    if value >= 10_000:
        return f"{value / 1000:,.1f}{SPACE}s"
    return f"{value:,.{0 if value >= 100 else 1 if value >= 1 else 2}f}{SPACE}ms"


def duration(seconds: float | None) -> str:
    """A long duration: `3 h 12 min`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((index for index, (size, _) in enumerate(parts) if size), 3)
    return SPACE.join(f"{size}{SPACE}{unit}" for size, unit in parts[first : first + 2])


def way(value: float | None) -> str:
    """`up`, `down` or `flat`: how a figure is coloured, and never by colour alone."""
    if value is None or not math.isfinite(value) or round(value, 6) == 0:
        return "flat"
    return "up" if value > 0 else "down"


def long_date(day: str) -> str:
    """`Friday, 1 March 2013`."""
    if not day:
        return NONE
    parsed = date.fromisoformat(day)
    return f"{parsed:%A}, {parsed.day} {parsed:%B %Y}"


def short_date(day: str) -> str:
    """`1 Mar 2013`."""
    if not day:
        return NONE
    parsed = date.fromisoformat(day)
    return f"{parsed.day}{SPACE}{parsed:%b}{SPACE}{parsed:%Y}"


def numeric_date(day: str) -> str:
    """`2013-03-01`, the narrowest that cannot be misread."""
    return day or NONE


def clean(text: str) -> str:
    """Text from outside without what would change how the text around it is shown: control characters, turns of the writing direction, half characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_clean_character(character) for character in text)


def _clean_character(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "\ufffd"
    if kind == "Cc":
        return " " if character in "\t\n\r" else ""
    return "" if character in _DIRECTION_TURNS else character


class Clock:
    """Times in the report's zone."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def _at(self, ns: int) -> datetime:
        return datetime.fromtimestamp(ns // _NS, UTC).astimezone(self._zone)

    def moment(self, ns: int) -> str:
        """`2013-03-01 21:00 UTC`."""
        return f"{self._at(ns):%Y-%m-%d %H:%M %Z}" if ns else NONE

    def minute(self, ns: int, day: str) -> str:
        """`21:00` on `day`, otherwise with its date: `28 Feb 21:00`."""
        if not ns:
            return "no date"
        at = self._at(ns)
        if at.date().isoformat() == day:
            return f"{at:%H:%M}"
        year = "" if at.year == date.fromisoformat(day).year else f"{SPACE}{at:%Y}"
        return f"{at.day}{SPACE}{at:%b}{year}{SPACE}{at:%H:%M}"


def ticker(symbol: str) -> str:
    """`AAPL` of `AAPL.XNAS`."""
    return symbol.rpartition(".")[0] or symbol


def venue(symbol: str) -> str:
    """`XNAS` of `AAPL.XNAS`; empty where there is none."""
    return symbol.rpartition(".")[2] if "." in symbol else ""


def from_extreme(fraction: float, is_new: bool) -> str:
    """How far the close is from a high or low that the day may have set itself."""
    return f"{percent(fraction, 1)}, set on the day" if is_new else percent(fraction, 1)


def outcome_scope(signal: SignalReport) -> str:
    """Which earlier signals the shown outcomes are of."""
    shown = signal.outcomes
    if shown is signal.own:
        return "Earlier ones of this symbol"
    return f"Earlier ones of all {shown.symbols:,} symbols that had any"


def signal_counts(report: SymbolReport) -> tuple[int, int]:
    """Signals of the day that point up, and down."""
    ups = sum(1 for signal in report.signals if signal.direction == "up")
    return ups, len(report.signals) - ups
