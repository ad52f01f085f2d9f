"""One feed's answer from its server: conditional, allowed by robots.txt, in its turn, following redirects, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp

from services.news.errors import FeedAway, FeedProblem, FeedRefused, FeedStumbled
from services.news.fetch.body import Unpacker, read_body
from services.news.fetch.limits import FetchLimits
from services.news.fetch.pace import HostPace
from services.news.fetch.retry_after import retry_after_s
from services.news.fetch.robots import MAX_BYTES as MAX_ROBOTS_BYTES
from services.news.fetch.robots import Robots
from services.runtime.clock import Clock, SystemClock
from services.runtime.retries import RetryPolicy, retry

#: Our name in robots.txt and at the head of the User-Agent.
AGENT = "Signalbox"
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_MODIFIED, _TOO_MANY, _SERVER_ERROR, _CLIENT_ERROR, _OK = 304, 429, 500, 400, 200
_ACCEPT = "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
#: A longer one is no validator that could be kept.
_MAX_VALIDATOR_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a feed answered."""

    body: bytes
    """Unpacked."""
    url: str
    """Where it came from in the end."""
    media_type: str
    """`application/rss+xml`; empty when none was named."""
    charset: str
    etag: str
    last_modified: str
    is_cut: bool
    """The connection ended before the body did."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The feed is as it was."""


def open_session(contact: str, version: str, limits: FetchLimits) -> aiohttp.ClientSession:
    """The HTTP client. contact: an address for those whose servers are asked; empty for none. Follows HTTP_PROXY and NO_PROXY."""
    return aiohttp.ClientSession(
        headers={"User-Agent": f"{AGENT}/{version} ({contact or 'no contact configured'})", "Accept": _ACCEPT, "Accept-Encoding": "gzip, deflate"},
        timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_s, sock_connect=limits.connect_s, sock_read=limits.read_s),
        connector=aiohttp.TCPConnector(limit=32, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Unpacked here, step by step: the library unpacks whatever fits a network buffer at once.
        auto_decompress=False,
        trust_env=True,
    )


class Fetcher:
    """Asks for feeds. May be used for several at the same time."""

    def __init__(self, session: aiohttp.ClientSession, limits: FetchLimits | None = None, clock: Clock | None = None) -> None:
        self._session, self._limits, self._clock = session, limits or FetchLimits(), clock or SystemClock()
        self._pace = HostPace(self._clock, self._limits.pause_s)
        self._robots = Robots(self._ask_robots, AGENT, self._clock)

    async def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Answer | Unchanged:
        """Asks once, and once more if the server failed while it answered. etag, last_modified: of the answer before.

        Raises FeedRefused, FeedAway, FeedStumbled; their `reason` says why in a word.
        """
        conditions = {name: value for name, value in (("If-None-Match", etag), ("If-Modified-Since", last_modified)) if value}
        try:
            async with asyncio.timeout(self._limits.whole_s):
                return await retry(
                    "news-feed",
                    lambda: self._follow(url, conditions),
                    (FeedStumbled,),
                    RetryPolicy(attempts=2, first_s=1.0, cap_s=2.0),
                    clock=self._clock,
                )
        except TimeoutError as error:
            raise FeedAway("deadline", f"not done within {self._limits.whole_s:g} s") from error

    async def _follow(self, url: str, conditions: Mapping[str, str]) -> Answer | Unchanged:
        seen: set[str] = set()
        while len(seen) <= MAX_REDIRECTS:
            if url in seen:
                raise FeedRefused("redirect-circle", f"redirects lead back to {url}")
            seen.add(url)
            delay_s = await self._robots.check(_origin(url), url)
            answer = await self._ask(url, conditions, delay_s, self._limits.body_bytes)
            if not isinstance(answer, str):
                return answer
            url = answer
        raise FeedRefused("too-many-redirects", f"more than {MAX_REDIRECTS}")

    async def _ask(self, url: str, conditions: Mapping[str, str], delay_s: float, limit: int) -> Answer | Unchanged | str:
        """One request; a text is where it was redirected to."""
        host = _host(url)
        async with self._pace.turn(host, delay_s):
            try:
                async with self._session.get(url, headers=conditions, allow_redirects=False) as response:
                    self._pace.report_up(host)
                    return await self._read(url, response, bool(conditions), limit)
            except aiohttp.ConnectionTimeoutError as error:
                raise self._down(host, "timeout", f"{host} did not take the connection within {self._limits.connect_s:g} s") from error
            except TimeoutError as error:
                raise FeedStumbled("timeout", f"{host} sent nothing for {self._limits.read_s:g} s") from error
            except aiohttp.ClientConnectorError as error:
                raise self._down(host, "unreachable", _said(error)) from error
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                raise FeedStumbled("disconnected", _said(error)) from error
            except (aiohttp.InvalidURL, aiohttp.ClientResponseError) as error:
                raise FeedRefused("bad-http", _said(error)) from error

    def _down(self, host: str, reason: str, detail: str) -> FeedAway:
        self._pace.report_down(host, detail)
        return FeedAway(reason, detail)

    async def _read(self, url: str, response: aiohttp.ClientResponse, was_conditional: bool, limit: int) -> Answer | Unchanged | str:
        if response.status in _REDIRECTS:
            return _target(url, response.headers.get("Location", ""))
        if response.status == _NOT_MODIFIED and was_conditional:
            return Unchanged()
        if response.status != _OK:
            raise self._refusal(response)
        if (response.content_length or 0) > limit:
            raise FeedRefused("too-large", f"{response.content_length} bytes, more than {limit}")
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""), limit)
        is_cut = False
        try:
            await read_body(response.content.iter_any(), unpacker)
        except aiohttp.ClientPayloadError:
            is_cut = True
        return Answer(
            body=unpacker.body,
            url=url,
            media_type=response.content_type if "Content-Type" in response.headers else "",
            charset=response.charset or "",
            etag=_validator(response.headers.get("ETag", "")),
            last_modified=_validator(response.headers.get("Last-Modified", "")),
            is_cut=is_cut or not unpacker.is_complete,
        )

    def _refusal(self, response: aiohttp.ClientResponse) -> FeedProblem:
        status = response.status
        stay_away_s = retry_after_s(response.headers.get("Retry-After", ""), self._clock.now_ns())
        detail = f"answered {status}" + (f", asks to stay away for {stay_away_s:.0f} s" if stay_away_s is not None else "")
        if status == _TOO_MANY or (status >= _SERVER_ERROR and stay_away_s is not None):
            return FeedAway("http-429" if status == _TOO_MANY else "http-5xx", detail, retry_after_s=stay_away_s)
        if status >= _SERVER_ERROR:
            return FeedStumbled("http-5xx", detail)
        return FeedRefused("http-4xx" if status >= _CLIENT_ERROR else f"http-{status}", detail, retry_after_s=stay_away_s)

    async def _ask_robots(self, url: str) -> tuple[int, bytes]:
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = await self._ask(url, {}, 0.0, MAX_ROBOTS_BYTES)
            except FeedRefused as problem:
                if problem.reason.startswith("http-4"):
                    return 404, b""
                raise
            except (FeedAway, FeedStumbled) as problem:
                if problem.reason.startswith("http-"):
                    return _SERVER_ERROR, b""
                raise
            if isinstance(answer, Answer):
                return _OK, answer.body
            if isinstance(answer, str):
                url = answer
        # RFC 9309: one that redirects on and on is taken for one that is not there.
        return 404, b""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _target(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError as error:
        raise FeedRefused("bad-http", f"redirected to {location[:100]!r}") from error
    if not location or parts.scheme not in ("http", "https") or not parts.hostname:
        raise FeedRefused("bad-http", f"redirected to {location[:100]!r}")
    if parts.scheme == "http" and url.startswith("https:"):
        raise FeedRefused("redirect-insecure", f"redirected from https to {target}")
    return target


def _validator(value: str) -> str:
    return value if len(value) <= _MAX_VALIDATOR_CHARS and value.isascii() and value.isprintable() else ""


def _said(error: Exception) -> str:
    """What an error of the client says, one line."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}: {error.strerror or error.os_error}"[:200]
    return " ".join(str(error).split())[:200] or type(error).__name__
