"""Alerts of operation, from their topic: the last record of each key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from signalbox.events.v1 import alert_pb2

from services.reports.daily.model import AlertRow
from services.runtime.errors import Unavailable
from services.runtime.kafka import ReaderFailed, Record, TopicReader
from services.runtime.logging import get_logger
from services.runtime.topics import ALERTS

_log = get_logger("report-alerts")


class AlertsTopic:
    """Alerts. timeout_s: for reading the whole topic."""

    def __init__(self, bootstrap: str, timeout_s: float) -> None:
        self._bootstrap, self._timeout_s = bootstrap, timeout_s

    async def alerts(self) -> tuple[Sequence[AlertRow], int]:
        """As the port says."""
        found: dict[str, AlertRow] = {}
        unreadable: list[Record] = []
        reader = TopicReader(self._bootstrap, [ALERTS.name], lambda records: _add(found, unreadable, records))
        reader.start()
        try:
            async with asyncio.timeout(self._timeout_s):
                await reader.wait_caught_up()
        except TimeoutError as error:
            raise Unavailable("Kafka", f"{ALERTS.name} was not read within {self._timeout_s:g} s") from error
        except ReaderFailed as error:
            raise Unavailable("Kafka", str(error)) from error
        finally:
            await asyncio.to_thread(reader.stop)
        return [found[key] for key in sorted(found)], len(unreadable)


def _add(found: dict[str, AlertRow], unreadable: list[Record], records: Sequence[Record]) -> None:
    for record in records:
        try:
            alert = alert_pb2.Alert.FromString(record.value)
        except DecodeError as error:
            unreadable.append(record)
            _log.warning("alert cannot be read", partition=record.partition, offset=record.offset, error=str(error))
            continue
        found[alert.key] = AlertRow(
            key=alert.key,
            severity=alert.severity,
            title=alert.title,
            detail=alert.detail,
            source=alert.source,
            since_ns=alert.ts_since,
            is_resolved=alert.is_resolved,
        )
