"""Requests as JSON."""

import orjson

from gateway.hub.requests import BadRequest, Request, Selections, Subscribe, Unsubscribe, check_history, check_id, check_symbols, merge
from gateway.hub.series import CHANNELS, INTERVALS, NO_INTERVAL, Group

_ACTIONS = ("subscribe", "unsubscribe")
_COMMON = {"action", "id", "interval"}
_SUBSCRIBE_ONLY = {"history", "resume_from"}
_DEFAULT_INTERVAL = "1m"


def parse_json(data: bytes) -> Request:
    """A request from a frame. Raises BadRequest naming the field, its value and what was expected."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest("frame", data[:80].decode("utf-8", "replace"), f"a JSON object ({error})") from error
    if not isinstance(message, dict):
        raise BadRequest("frame", message, "a JSON object")
    request_id = check_id(message.get("id", ""))
    action = message.get("action")
    if action not in _ACTIONS:
        raise BadRequest("action", action, "subscribe or unsubscribe", request_id)
    _check_fields(message, action, request_id)
    selections = _selections(message, request_id)
    if action == "unsubscribe":
        return Unsubscribe(selections, request_id)
    return Subscribe(selections, check_history(message.get("history", 0), request_id), request_id)


def _check_fields(message: dict[str, object], action: str, request_id: str) -> None:
    known = _COMMON | CHANNELS.keys() | (_SUBSCRIBE_ONLY if action == "subscribe" else set())
    for field, value in message.items():
        if field not in known:
            raise BadRequest(field, value, f"one of the fields {', '.join(sorted(known))}", request_id, code=404)
    if "resume_from" in message:
        raise BadRequest("resume_from", message["resume_from"], "no such field yet: resuming is not built", request_id)


def _selections(message: dict[str, object], request_id: str) -> Selections:
    intervals = _intervals(message.get("interval", _DEFAULT_INTERVAL), request_id)
    pairs = []
    for name, channel in CHANNELS.items():
        if name in message:
            symbols = check_symbols(name, message[name], request_id, channel)
            wanted = intervals if channel.has_interval else [NO_INTERVAL]
            pairs += [(Group(channel, interval), symbols) for interval in wanted]
    return merge(pairs, request_id)


def _intervals(value: object, request_id: str) -> list[int]:
    names = value if isinstance(value, list) and value else [value]
    return [_interval(name, request_id) for name in names]


def _interval(name: object, request_id: str) -> int:
    if not isinstance(name, str) or name not in INTERVALS:
        raise BadRequest("interval", name, f"one of {', '.join(INTERVALS)}, or a list of them", request_id)
    return INTERVALS[name]
