"""`signalbox watch`: what moves, as lines for people or for programs."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from deploy.local.errors import StackError, Unreachable
from services.runtime.clock import Clock, SystemClock

#: What the stream can carry, as docs/subscription-protocol.md names it.
CHANNELS = ("ticks", "bars", "live_bars", "indicators", "signals", "news", "jobs", "alerts")

#: The longest history that may be asked for.
_MAX_HISTORY = 1_000
#: Of each series so many messages are remembered: more than a history brings again.
_KNOWN_OF_A_SERIES = 2_000
#: What tells two messages of a series apart.
_IDENTITY = ("t", "n", "p", "s", "rev", "type", "id", "state", "key", "resolved")
#: Heartbeats come once a second; after so many seconds without any the connection is dead, even if TCP has not noticed.
_SILENCE_S = 6.0
_BACKOFF_FIRST_S, _BACKOFF_CAP_S = 0.5, 15.0


def subscription(symbols: Sequence[str], channels: Sequence[str], interval: str, history: int) -> dict[str, Any]:
    """The subscribe message. Raises StackError for a channel that does not exist."""
    for channel in channels:
        if channel not in CHANNELS:
            raise StackError(f"expected channel in {{{', '.join(CHANNELS)}}}, was {channel!r}")
    request = {"action": "subscribe", "id": "watch", "interval": interval, "history": history}
    return request | {channel: list(symbols) for channel in channels}


class Link:
    """What outlives a connection: whether there ever was one, what was shown, and when to try again."""

    def __init__(self, history: int) -> None:
        self._wants_history = history > 0
        self._series: dict[tuple[object, ...], dict[tuple[object, ...], int]] = {}
        self._failed = 0
        self._hint_s: float | None = None
        self.made = False
        """Whether the edge has answered at least once."""
        self.again = False
        """Whether this is not the first connection."""

    def is_new(self, message: Mapping[str, Any]) -> bool:
        """Whether a message is to be shown: a history brings again what is known, and what is older than that."""
        if message["T"] == "welcome":
            self.made, self._failed = True, 0
        elif message["T"] == "going_away":
            self._hint_s = message.get("reconnect_after_ms", 0) / 1e3
        if message["T"] not in _SHOWN or message["T"] == "live_bar":
            return True
        series, moment = tuple(message.get(name) for name in ("T", "S", "i")), int(message.get("ts_recv" if message["T"] == "news" else "t", 0))
        known = self._series.get(series)
        if self.again and message.get("hist") and not self._wants_history and (known is None or moment < min(known.values())):
            return False
        return self._add(self._series.setdefault(series, {}), tuple(message.get(name) for name in _IDENTITY), moment)

    @staticmethod
    def _add(known: dict[tuple[object, ...], int], identity: tuple[object, ...], moment: int) -> bool:
        if identity in known:
            return False
        known[identity] = moment
        if len(known) > _KNOWN_OF_A_SERIES:
            del known[next(iter(known))]
        return True

    def wait_s(self) -> float:
        """How long to wait before the next try: as the server said, or longer with each that failed."""
        hint, self._hint_s = self._hint_s, None
        self.again = True
        self._failed += 1
        backoff = min(_BACKOFF_CAP_S, _BACKOFF_FIRST_S * 2 ** (self._failed - 1))
        # Many clients are cut off at once and should not all come back at once.
        return backoff * random.uniform(0.5, 1.0) if hint is None else hint


async def messages(url: str, request: Mapping[str, Any], say: Callable[[str], None], clock: Clock | None = None) -> AsyncIterator[dict[str, Any]]:
    """The messages that answer `request`, for ever: a connection that is lost is made again, with what was missed and nothing twice.

    say: told of each loss. Raises StackError when refused, Unreachable when there is no edge to begin with.
    """
    clock, link = clock or SystemClock(), Link(request.get("history", 0))
    while True:
        try:
            async for message in _connection(url, {**request, "history": _MAX_HISTORY} if link.again else request):
                if link.is_new(message):
                    yield message
            why = "the edge closed it"
        except (aiohttp.ClientError, TimeoutError) as error:
            if not link.made:
                raise Unreachable.edge(url, error) from error
            why = str(error) or "nothing was heard of it"
        say(f"the connection is lost ({why}), trying again")
        await clock.sleep(link.wait_s())


async def _connection(url: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    limits = aiohttp.ClientWSTimeout(ws_receive=_SILENCE_S)
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, timeout=limits) as socket:
        await socket.send_json(request)
        async for frame in socket:
            if frame.type is aiohttp.WSMsgType.TEXT:
                for message in orjson.loads(frame.data):
                    _raise_for(message)
                    yield message


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


_SHOWN = frozenset((*_EVENTS, *_FORMS))


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def as_json(message: Mapping[str, Any]) -> str | None:
    """One JSON object a line; None for messages that carry nothing that was subscribed to."""
    return json.dumps(message) if message["T"] in _SHOWN else None
