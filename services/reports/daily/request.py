"""What may be asked for."""

from __future__ import annotations

import re
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.files import FILES
from services.runtime.errors import InvalidArgument

_MAX_SYMBOLS = 2_000
#: As in prices_service.proto.
_SYMBOL = re.compile(r"[A-Z0-9_=^-]+\.[A-Z0-9_=^-]+")
_MAX_SYMBOL = 32
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Times in our records end there.
_FIRST_YEAR, _END_YEAR = 1970, 2200


def check_request(request: pb.CreateDailyReportRequest) -> None:
    """Raises InvalidArgument naming the field."""
    if request.date:
        _check_date(request.date)
    if len(request.universe) > _MAX_SYMBOLS:
        raise InvalidArgument("universe", len(request.universe), f"at most {_MAX_SYMBOLS:,} symbols")
    for symbol in request.universe:
        if len(symbol) > _MAX_SYMBOL or not _SYMBOL.fullmatch(symbol):
            raise InvalidArgument("universe", symbol, f"ticker dot MIC as in AAPL.XNAS, at most {_MAX_SYMBOL} characters")
    for format_ in request.formats:
        if format_ not in FILES:
            raise InvalidArgument("formats", format_, f"one of {', '.join(pb.ReportFormat.Name(known) for known in sorted(FILES))}")
    _check_zone(request.time_zone)
    for field in ("date", "universe", "time_zone") if request.input_of else ():
        if getattr(request, field):
            raise InvalidArgument(field, getattr(request, field), "nothing beside input_of: it is that report's")


def _check_date(text: str) -> None:
    expected = f"a day as in 2013-03-01, from {_FIRST_YEAR} to {_END_YEAR - 1}"
    if not _DATE.fullmatch(text):
        raise InvalidArgument("date", text, expected)
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument("date", text, expected) from error
    if not _FIRST_YEAR <= day.year < _END_YEAR:
        raise InvalidArgument("date", text, expected)


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidArgument("time_zone", name, "an IANA time zone as in Europe/Berlin") from error
