"""What a client asks for, whatever the encoding, and the limits of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.hub.series import ALL, Channel, Group
from services.runtime.errors import InvalidArgument

MAX_HISTORY = 1000
MAX_ID = 64
MAX_SYMBOLS = 1000

_SYMBOL = re.compile(r"[A-Z0-9_=^-]{1,30}\.[A-Z0-9_=^-]{1,30}")
_SYMBOL_LENGTH = 32
_KIND = re.compile(r"[a-z][a-z0-9_]{0,30}(\.[a-z0-9_]{1,30}){1,3}")
_EXPECTED = {Channel.JOBS: "kinds of jobs, for instance report.daily, or *", Channel.ALERTS: "*: alerts come all or not at all"}

#: Symbols by channel and interval.
Selections = dict[Group, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Add to the subscriptions."""

    selections: Selections
    history: int = 0
    """Rows of each series to send first, 0 to 1,000."""
    id: str = ""
    """Given back in the answer."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Take from the subscriptions."""

    selections: Selections
    id: str = ""
    """Given back in the answer."""


Request = Subscribe | Unsubscribe


class BadRequest(InvalidArgument):
    """A request that cannot be served, with the id it came with."""

    def __init__(self, field: str, value: object, expected: str, request_id: str = "", code: int = 400) -> None:
        super().__init__(field, value, expected)
        self.request_id, self.code = request_id, code


def check_symbols(field: str, symbols: object, request_id: str, channel: Channel = Channel.BARS) -> frozenset[str]:
    """The symbols (of jobs: the kinds) of one selection. Raises BadRequest unless it is a list of 1 to 1,000 of them or `*`."""
    if not isinstance(symbols, Iterable) or isinstance(symbols, str | bytes | dict):
        raise BadRequest(field, symbols, "a list of symbols", request_id)
    found = list(symbols)
    if not 1 <= len(found) <= MAX_SYMBOLS:
        raise BadRequest(field, f"{len(found)} symbols", f"1 to {MAX_SYMBOLS:,} symbols", request_id)
    for symbol in found:
        if not isinstance(symbol, str) or not (symbol == ALL or _is_name(channel, symbol)):
            raise BadRequest(field, symbol, _EXPECTED.get(channel, "ticker dot MIC, for instance AAPL.XNAS, or *"), request_id)
    return frozenset(found)


def _is_name(channel: Channel, text: str) -> bool:
    if channel is Channel.JOBS:
        return _KIND.fullmatch(text) is not None
    return channel is not Channel.ALERTS and is_symbol(text)


def is_symbol(text: str) -> bool:
    """Whether a text has the form of a symbol: 1 to 32 characters of A-Z, 0-9, '-', '_', '=', '^' around one dot."""
    return len(text) <= _SYMBOL_LENGTH and _SYMBOL.fullmatch(text) is not None


def check_history(value: object, request_id: str) -> int:
    """The number of rows. Raises BadRequest unless it is a whole number from 0 to 1,000."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_HISTORY:
        raise BadRequest("history", value, f"a whole number from 0 to {MAX_HISTORY:,}", request_id)
    return value


def check_id(value: object) -> str:
    """The id. Raises BadRequest unless it is a text of at most 64 characters."""
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise BadRequest("id", value, f"a text of at most {MAX_ID} characters")
    return value


def merge(selections: Iterable[tuple[Group, frozenset[str]]], request_id: str) -> Selections:
    """Selections joined by channel and interval. Raises BadRequest when there are none."""
    merged: Selections = {}
    for group, symbols in selections:
        merged[group] = merged.get(group, frozenset()) | symbols
    if not merged:
        raise BadRequest("channels", "none", f"at least one of {', '.join(channel.key for channel in Channel)}", request_id)
    return merged
