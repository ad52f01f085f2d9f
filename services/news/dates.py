"""Dates of feeds: RFC 822 with all its old zones, ISO 8601, and what publishers make of them. The zone is kept as an offset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Longer texts are no dates; dates are searched for in what strangers send.
_MAX_CHARS = 100
#: Nanoseconds since 1970 must fit 63 bits; before 1970 there were no feeds.
_YEARS = range(1970, 2262)

#: Abbreviations that RFC 822 does not define but feeds use, minutes. Those with two meanings (IST, CST outside America) are left out or taken as RFC 822's.
_ZONES = {"CET": 60, "CEST": 120, "MEZ": 60, "WET": 0, "WEST": 60, "EET": 120, "EEST": 180, "BST": 60, "MSK": 180, "JST": 540, "KST": 540, "HKT": 480}
_ZONES |= {"SGT": 480, "AEST": 600, "AEDT": 660, "AWST": 480, "NZST": 720, "NZDT": 780, "AKST": -540, "AKDT": -480, "HST": -600, "UTC": 0}
_ZONE_AT_END = re.compile(r"\s([A-Z]{3,4})$")
_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True)
class PublishedAt:
    """A date that could be read."""

    ns: int
    """UTC nanoseconds."""
    utc_offset_minutes: int | None
    """As written, or of the assumed zone; None when the date had no zone and none is assumed: `ns` then takes it for UTC."""


def read_date(text: str, assumed: tzinfo | None = None) -> PublishedAt | None:
    """Reads a date. assumed: zone of dates that name none. Returns None when it cannot be read: a missing date stays missing."""
    text = " ".join(text.split())
    if not text or len(text) > _MAX_CHARS:
        return None
    moment = _iso(text) or _rfc822(text)
    if moment is None or moment.year not in _YEARS:
        return None
    if moment.tzinfo is None and assumed is not None:
        moment = moment.replace(tzinfo=assumed)
    offset = moment.utcoffset()
    aware = moment if offset is not None else moment.replace(tzinfo=UTC)
    ns = (aware - _EPOCH) // timedelta(microseconds=1) * 1_000
    return PublishedAt(ns, None if offset is None else round(offset.total_seconds() / 60)) if ns >= 0 else None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError:
        return None


def _rfc822(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    if moment.tzinfo is None and (named := _ZONE_AT_END.search(text.upper())) and named[1] in _ZONES:
        return moment.replace(tzinfo=timezone(timedelta(minutes=_ZONES[named[1]])))
    return moment
