"""How messages become bytes: JSON and protobuf.

A message is a *tail*, shared by all connections, spliced behind what differs between them: `seq`, and the mark of a history.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from signalbox.edge.v1 import subscription_service_pb2 as edge

from gateway.hub.forming_rows import FormingRows
from gateway.hub.requests import Selections
from gateway.hub.series import INTERVAL_ENUMS, INTERVAL_NAMES, Channel, Group, SeriesKey
from gateway.hub.updates import Update

_VERSION = "1"


class Codec(Protocol):
    """One encoding. `tail`s are messages without `seq`; times are UTC nanoseconds."""

    def update(self, update: Update) -> bytes:
        """The tail of an update."""
        ...

    def splice(self, seq: int, tail: bytes, is_history: bool) -> bytes:
        """A whole message."""
        ...

    def forming(self, seq: int, rows: FormingRows) -> list[bytes]:
        """Forming bars as parts of a frame, each of one or more whole messages; seq: of the first. There is at least one row."""
        ...

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """Messages as one frame."""
        ...

    def welcome(self, heartbeat_s: float, now_ns: int) -> bytes | None:
        """The tail of the first message, where there is one."""
        ...

    def subscriptions(self, selections: Selections, request_id: str) -> bytes:
        """The tail of the whole set of subscriptions."""
        ...

    def history_end(self, request_id: str, count: int) -> bytes:
        """The tail of the end of a history."""
        ...

    def heartbeat(self, last_seq: int, now_ns: int) -> bytes:
        """The tail of a sign of life."""
        ...

    def gap(self, key: SeriesKey, dropped: int, first_ns: int, last_ns: int) -> bytes:
        """The tail of a notice of messages left out."""
        ...

    def error(self, code: int, text: str, request_id: str) -> bytes:
        """The tail of an error."""
        ...

    def going_away(self, reason: str, reconnect_after_ms: int) -> bytes:
        """The tail of the notice before the end."""
        ...


class JsonCodec:
    """Frames are JSON arrays."""

    def update(self, update: Update) -> bytes:
        """As Codec says."""
        return update.json()

    def splice(self, seq: int, tail: bytes, is_history: bool) -> bytes:
        """As Codec says."""
        return (b'{"seq":%d,"hist":true,%b' if is_history else b'{"seq":%d,%b') % (seq, tail)

    def forming(self, seq: int, rows: FormingRows) -> list[bytes]:
        """As Codec says."""
        return [rows.json(seq)]

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """As Codec says."""
        return b"[%b]" % b",".join(messages)

    def welcome(self, heartbeat_s: float, now_ns: int) -> bytes | None:
        """As Codec says."""
        return _tail(T="welcome", version=_VERSION, heartbeat_s=heartbeat_s, ts=now_ns // 1_000)

    def subscriptions(self, selections: Selections, request_id: str) -> bytes:
        """As Codec says."""
        state: dict[str, Any] = {channel.key: {} if channel.has_interval else [] for channel in Channel}
        for group, symbols in sorted(selections.items()):
            if group.channel.has_interval:
                state[group.channel.key][INTERVAL_NAMES[group.interval]] = sorted(symbols)
            else:
                state[group.channel.key] = sorted(symbols)
        return _tail(T="subscriptions", **_id(request_id), **state)

    def history_end(self, request_id: str, count: int) -> bytes:
        """As Codec says."""
        return _tail(T="history_end", **_id(request_id), count=count)

    def heartbeat(self, last_seq: int, now_ns: int) -> bytes:
        """As Codec says."""
        return _tail(T="heartbeat", last_seq=last_seq, ts=now_ns // 1_000)

    def gap(self, key: SeriesKey, dropped: int, first_ns: int, last_ns: int) -> bytes:
        """As Codec says."""
        interval = {"i": INTERVAL_NAMES[key.interval]} if key.interval else {}
        times = {"from": first_ns // 1_000_000, "to": last_ns // 1_000_000}
        return _tail(T="gap", channel=key.channel.key, S=key.symbol, **interval, dropped=dropped, **times)

    def error(self, code: int, text: str, request_id: str) -> bytes:
        """As Codec says."""
        return _tail(T="error", code=code, msg=text, **_id(request_id))

    def going_away(self, reason: str, reconnect_after_ms: int) -> bytes:
        """As Codec says."""
        return _tail(T="going_away", reason=reason, reconnect_after_ms=reconnect_after_ms)


def _tail(**fields: object) -> bytes:
    return orjson.dumps(fields)[1:]


def _id(request_id: str) -> dict[str, str]:
    return {"id": request_id} if request_id else {}


#: Wire tags: StreamMessage.seq, StreamMessage.is_history = true, SubscribeResponse.messages.
_SEQ, _IS_HISTORY, _MESSAGES = b"\x08", b"\x20\x01", b"\x0a"


class ProtoCodec:
    """Frames are serialised SubscribeResponses. A tail is a serialised StreamMessage, so splicing is putting the other fields before it."""

    def update(self, update: Update) -> bytes:
        """As Codec says."""
        return update.proto()

    def splice(self, seq: int, tail: bytes, is_history: bool) -> bytes:
        """As Codec says."""
        return b"".join((_SEQ, _varint(seq), _IS_HISTORY if is_history else b"", tail))

    def forming(self, seq: int, rows: FormingRows) -> list[bytes]:
        """As Codec says."""
        return [self.splice(number, update.proto(), False) for number, update in enumerate(rows.updates, seq)]

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """As Codec says."""
        return b"".join([part for message in messages for part in (_MESSAGES, _varint(len(message)), message)])

    def welcome(self, heartbeat_s: float, now_ns: int) -> bytes | None:
        """None: a gRPC client knows the version from the package."""
        return None

    def subscriptions(self, selections: Selections, request_id: str) -> bytes:
        """As Codec says."""
        state = edge.SubscriptionState(selections=[_selection(group, symbols) for group, symbols in sorted(selections.items())], id=request_id)
        return edge.StreamMessage(subscriptions=state).SerializeToString()

    def history_end(self, request_id: str, count: int) -> bytes:
        """As Codec says."""
        return edge.StreamMessage(history_end=edge.HistoryEnd(id=request_id, count=count)).SerializeToString()

    def heartbeat(self, last_seq: int, now_ns: int) -> bytes:
        """As Codec says."""
        message = edge.StreamMessage(heartbeat=edge.Heartbeat(last_seq=last_seq))
        message.heartbeat.ts.FromNanoseconds(now_ns)
        return message.SerializeToString()

    def gap(self, key: SeriesKey, dropped: int, first_ns: int, last_ns: int) -> bytes:
        """As Codec says."""
        message = edge.StreamMessage(gap=edge.Gap(selection=_selection(key.group, [key.symbol]), dropped=dropped))
        # `from` is a word of Python.
        getattr(message.gap, "from").FromNanoseconds(first_ns)
        message.gap.to.FromNanoseconds(last_ns)
        return message.SerializeToString()

    def error(self, code: int, text: str, request_id: str) -> bytes:
        """As Codec says."""
        return edge.StreamMessage(error=edge.StreamError(code=code, message=text, id=request_id)).SerializeToString()

    def going_away(self, reason: str, reconnect_after_ms: int) -> bytes:
        """As Codec says."""
        return edge.StreamMessage(going_away=edge.GoingAway(reason=reason, reconnect_after_ms=reconnect_after_ms)).SerializeToString()


def _selection(group: Group, symbols: frozenset[str] | list[str]) -> edge.Selection:
    interval = INTERVAL_ENUMS[group.interval] if group.interval else None
    return edge.Selection(channel=edge.Channel.Name(group.channel), symbols=sorted(symbols), interval=interval)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
