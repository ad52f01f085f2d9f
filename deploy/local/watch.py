"""`signalbox watch`: what moves, as lines for people or for programs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from deploy.local.errors import StackError, Unreachable

#: What the stream can carry, as docs/subscription-protocol.md names it.
CHANNELS = ("ticks", "bars", "live_bars", "indicators", "signals", "news", "jobs", "alerts")


def subscription(symbols: Sequence[str], channels: Sequence[str], interval: str, history: int) -> dict[str, Any]:
    """The subscribe message. Raises StackError for a channel that does not exist."""
    for channel in channels:
        if channel not in CHANNELS:
            raise StackError(f"expected channel in {{{', '.join(CHANNELS)}}}, was {channel!r}")
    request = {"action": "subscribe", "id": "watch", "interval": interval, "history": history}
    return request | {channel: list(symbols) for channel in channels}


async def messages(url: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The market messages that answer `request`, for ever. Raises StackError when refused, Unreachable when the edge is gone."""
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            await socket.send_json(request)
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    for message in orjson.loads(frame.data):
                        _raise_for(message)
                        yield message
            raise Unreachable(f"the edge closed the connection (code {socket.close_code})", "is the stack stopping?")
    except aiohttp.ClientError as error:
        raise Unreachable.edge(url, error) from error


def _raise_for(message: Mapping[str, Any]) -> None:
    if message["T"] == "error":
        raise StackError(f"the edge refused ({message['code']}): {message['msg']}")


def line(message: Mapping[str, Any]) -> str | None:
    """One line for a person; None for messages that carry nothing that was subscribed to."""
    if message["T"] in _EVENTS:
        return f"{_time(message.get('t', message.get('ts_recv', 0) // 1000))}  {_EVENTS[message['T']](message)}"
    form = _FORMS.get(message["T"])
    if form is None:
        return None
    label = "" if message.get("source") == "live" else f"  [{message.get('source', '?')}]"
    return f"{_time(message['t'])}  {message['S']:<10} {form(message)}{label}"


def _tick(message: Mapping[str, Any]) -> str:
    return f"tick    {message['p']:>12g} x {message['s']:g}"


def _bar(message: Mapping[str, Any]) -> str:
    kind = "forming" if message["T"] == "live_bar" else "bar    "
    prices = "  ".join(f"{name.upper()} {message[name]:g}" for name in "ohlc")
    return f"{kind} {message['i']:>3}  {prices}  V {message['v']:g}"


def _indicators(message: Mapping[str, Any]) -> str:
    values = "  ".join(f"{name} {value:.6g}" for name, value in message["values"].items())
    return f"values  {message['i']:>3}  {values}"


def _signal(message: Mapping[str, Any]) -> str:
    arrow = {"up": "▲", "down": "▼"}.get(message.get("dir", ""), " ")
    return f"signal  {message['i']:>3}  {arrow} {message['type']} at {message['p']:g}"


def _news(message: Mapping[str, Any]) -> str:
    return f"news    {message['label']:<8} {message['title']}  ({message['publisher'] or message['feed']})  {' '.join(message['symbols'])}"


def _job(message: Mapping[str, Any]) -> str:
    progress = f"{message['done']:g}/{message['total']:g} {message['unit']}" if message["total"] else ""
    return f"job     {message['kind']:<16} {message['id']}  {message['state']:<9} {progress}  {message['message']}"


def _alert(message: Mapping[str, Any]) -> str:
    return f"alert   {'resolved' if message['resolved'] else message['severity']:<8}  {message['title']}"


_EVENTS = {"news": _news, "job": _job, "alert": _alert}
_FORMS = {"tick": _tick, "bar": _bar, "live_bar": _bar, "indicators": _indicators, "signal": _signal}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def as_json(message: Mapping[str, Any]) -> str | None:
    """One JSON object a line; None for messages that carry nothing that was subscribed to."""
    return json.dumps(message) if message["T"] in _FORMS or message["T"] in _EVENTS else None
