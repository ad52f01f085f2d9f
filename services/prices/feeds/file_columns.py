"""Which column of a file is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.prices.feeds.errors import DataUnreadable
from services.runtime.errors import InvalidArgument

#: Names under which each column is found by itself, best first; compared without case, spaces and punctuation.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "tsevent", "timestamp", "datetime", "time", "date", "tsns", "tsus", "tsms", "tss", "tradetime", "eventtime", "transacttime", "epoch"),
    "price": ("price", "tradeprice", "lastprice", "last", "px", "p"),
    "size": ("size", "quantity", "qty", "volume", "tradesize", "lastsize", "amount", "vol", "sz", "q", "v"),
    "seq": ("seq", "sequence", "tradeid", "aggtradeid", "id"),
    "symbol": ("symbol", "ticker", "instrument", "sym"),
}
_NEEDED = ("ts", "price", "size")
ROLES = tuple(_NAMES)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Positions of the columns in the file, from 0; None = the file has none. named: roles whose column the user has named."""

    ts: int
    price: int
    size: int
    seq: int | None
    symbol: int | None
    named: frozenset[str]


def parse_columns(text: str) -> dict[str, str]:
    """`ts=Time,price=Last` as a mapping of role to column. Raises InvalidArgument."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or role not in ROLES or not name or role in found:
            raise InvalidArgument("columns", part, f"role=column pairs with roles out of {', '.join(ROLES)}, each once")
        found[role] = name
    return found


def by_position(columns: Mapping[str, str]) -> bool:
    """Whether columns are named by number, from 1: then the file has no line of names."""
    return bool(columns) and all(name.isdecimal() for name in columns.values())


def find_columns(path: str, names: Sequence[str], wanted: Mapping[str, str]) -> ColumnMap:
    """The columns the user has named, the others by their usual names. Raises DataUnreadable with the columns that there are."""
    places = {role: _named(path, names, role, wanted[role]) if role in wanted else _usual(names, role) for role in ROLES}
    found = {role: place for role, place in places.items() if place is not None}
    for role in _NEEDED:
        if role not in found:
            raise DataUnreadable(path, f"column {role!r} not found; file has {', '.join(names)}; use --columns {role}=NAME")
    return ColumnMap(found["ts"], found["price"], found["size"], found.get("seq"), found.get("symbol"), frozenset(wanted))


def _named(path: str, names: Sequence[str], role: str, name: str) -> int:
    if name not in names:
        raise DataUnreadable(path, f"column {name!r} for {role!r} not found; file has {', '.join(names)}")
    return names.index(name)


def _usual(names: Sequence[str], role: str) -> int | None:
    plain = ["".join(filter(str.isalnum, name.lower())) for name in names]
    return next((plain.index(name) for name in _NAMES[role] if name in plain), None)
