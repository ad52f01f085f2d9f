"""A web server that plays every nastiness of a feed's server, on loopback; `python -m` it for a process of its own, which prints its address."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache

from aiohttp import web

from tests.servers import REPOSITORY
from tests.unit.news.feed_texts import BILLION_LAUGHS, EXTERNAL_ENTITY, rss, story

Play = Callable[[web.Request], Awaitable[web.StreamResponse]]

GOOD = rss([story(number) for number in range(10)])
#: 100 MiB of spaces in an answer of 100 KiB.
BOMB_BYTES = 100 << 20


@dataclass
class NastyServer:
    """What it plays is in the path: `/etag`, `/redirect-circle`, ... robots is the answer to /robots.txt: status and text."""

    address: str = ""
    robots: tuple[int, str] = (404, "")
    asked: Counter[str] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, play: str) -> str:
        """The address of one play."""
        return f"{self.address}/{play}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Plays what the path names."""
        self.asked[request.path.lstrip("/")] += 1
        self.agents.add(request.headers.get("User-Agent", ""))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if request.path == "/robots.txt":
                return web.Response(status=self.robots[0], text=self.robots[1])
            return await PLAYS[request.path.lstrip("/").partition(".")[0]](request)
        finally:
            self.at_once -= 1


def _feed(body: bytes = GOOD, content_type: str = "application/rss+xml", headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, content_type=content_type, headers=headers)


async def _good(request: web.Request) -> web.StreamResponse:
    return _feed()


async def _etag(request: web.Request) -> web.StreamResponse:
    if request.headers.get("If-None-Match") == '"one"' and request.headers.get("If-Modified-Since") == "Mon, 05 Jan 2026 10:00:00 GMT":
        return web.Response(status=304)
    return _feed(headers={"ETag": '"one"', "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"})


async def _busy(request: web.Request) -> web.StreamResponse:
    return web.Response(status=429, headers={"Retry-After": "120"})


async def _busy_until(request: web.Request) -> web.StreamResponse:
    until = datetime.now(UTC) + timedelta(hours=1)
    return web.Response(status=503, headers={"Retry-After": format_datetime(until, usegmt=True)})


async def _broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="<html>Sorry</html>", content_type="text/html")


async def _gone(request: web.Request) -> web.StreamResponse:
    return web.Response(status=410)


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPMovedPermanently("/good")


async def _redirect_circle(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/redirect-back")


async def _redirect_back(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/redirect-circle")


async def _redirect_on(request: web.Request) -> web.StreamResponse:
    number = int(request.path.partition(".")[2] or 0)
    raise web.HTTPFound(f"/redirect-on.{number + 1}")


async def _redirect_file(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "file:///etc/passwd"})


async def _picture(request: web.Request) -> web.StreamResponse:
    return _feed(b"\x89PNG\r\n\x1a\n" + bytes(1_000), "image/png")


async def _page(request: web.Request) -> web.StreamResponse:
    return _feed(b"<!DOCTYPE html><html><body><p>We have moved</p></body></html>", "text/html")


async def _feed_as_page(request: web.Request) -> web.StreamResponse:
    return _feed(GOOD, "text/html")


async def _wrong_encoding(request: web.Request) -> web.StreamResponse:
    body = rss([story(1, title="Müller’s café")]).decode().encode("cp1252")
    return web.Response(body=body, headers={"Content-Type": "text/xml; charset=utf-8"})


async def _gzip(request: web.Request) -> web.StreamResponse:
    return _feed(gzip.compress(GOOD[:700]) + gzip.compress(GOOD[700:]), headers={"Content-Encoding": "gzip"})


async def _deflate(request: web.Request) -> web.StreamResponse:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return _feed(packer.compress(GOOD) + packer.flush(), headers={"Content-Encoding": "deflate"})


async def _not_gzip(request: web.Request) -> web.StreamResponse:
    return _feed(GOOD, headers={"Content-Encoding": "gzip"})


async def _brotli(request: web.Request) -> web.StreamResponse:
    return _feed(GOOD, headers={"Content-Encoding": "br"})


async def _gzip_bomb(request: web.Request) -> web.StreamResponse:
    return _feed(_bomb(), headers={"Content-Encoding": "gzip"})


async def _gzip_cut(request: web.Request) -> web.StreamResponse:
    packed = gzip.compress(rss([story(number, title=f"{number:x} " * 20 + str(hash(str(number)))) for number in range(200)]))
    return _feed(packed[: len(packed) // 2], headers={"Content-Encoding": "gzip"})


async def _cut(request: web.Request) -> web.StreamResponse:
    """Says that more comes than does, then hangs up."""
    response = web.StreamResponse(headers={"Content-Type": "application/rss+xml", "Content-Length": str(len(GOOD)), "ETag": '"cut"'})
    await response.prepare(request)
    await response.write(GOOD[: len(GOOD) * 2 // 3])
    assert request.transport is not None
    request.transport.close()
    return response


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/rss+xml"})
    await response.prepare(request)
    await response.write(b'<rss version="2.0"><channel>')
    while True:
        await response.write(b"<item><title>And on</title></item>" * 2_000)


async def _fifty_megabytes(request: web.Request) -> web.StreamResponse:
    return _feed(_large())


async def _fifty_megabytes_in_pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/rss+xml"})
    await response.prepare(request)
    for _ in range(800):
        await response.write(b"x" * (64 << 10))
    return response


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody waits this long")


async def _slow(request: web.Request) -> web.StreamResponse:
    """A byte now and then: never silent for long, never done."""
    response = web.StreamResponse(headers={"Content-Type": "application/rss+xml"})
    await response.prepare(request)
    for number in range(len(GOOD)):
        await response.write(GOOD[number : number + 1])
        await asyncio.sleep(0.05)
    return response


async def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _long_header(request: web.Request) -> web.StreamResponse:
    return _feed(headers={"X-Long": "x" * 100_000})


async def _xml_bomb(request: web.Request) -> web.StreamResponse:
    return _feed(BILLION_LAUGHS)


async def _external_entity(request: web.Request) -> web.StreamResponse:
    return _feed(EXTERNAL_ENTITY)


async def _deep(request: web.Request) -> web.StreamResponse:
    return _feed(rss(["<a>" * 500_000 + "x", story(1)]))


async def _bare(request: web.Request) -> web.StreamResponse:
    return _feed(rss(["<title>Neither link nor date</title>", "<link>https://example.com/only-a-link</link>", "<title>T</title><pubDate>soon</pubDate>"]))


async def _empty(request: web.Request) -> web.StreamResponse:
    return _feed(b"")


async def _changing_ids(request: web.Request) -> web.StreamResponse:
    token = id(request)
    items = [story(number).replace("</link>", f"?utm_source={token}</link><guid isPermaLink='false'>{token}-{number}</guid>") for number in range(10)]
    return _feed(rss(items))


@cache
def _large() -> bytes:
    return b"<rss><channel>" + b"<item><title>And on</title></item>" * (50 << 20 >> 5) + b"</channel></rss>"


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    piece = b" " * (1 << 20)
    return b"".join(packer.compress(piece) for _ in range(BOMB_BYTES >> 20)) + packer.flush()


#: By the first part of the path, up to a dot.
PLAYS: dict[str, Play] = {
    name[1:].replace("_", "-"): play for name, play in list(globals().items()) if name.startswith("_") and asyncio.iscoroutinefunction(play)
}


@asynccontextmanager
async def nasty_server() -> AsyncIterator[NastyServer]:
    """The server, on a free port of loopback."""
    server = NastyServer()
    app = web.Application()
    app.router.add_get("/{play:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def _serve() -> None:
    # These take longer to make than some clients wait.
    _bomb()
    _large()
    async with nasty_server() as server:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


@contextmanager
def nasty_process() -> Iterator[str]:
    """The server in a process of its own, so that its memory is not ours; gives its address."""
    arguments = [sys.executable, "-m", "tests.integration.nasty_feed_server"]
    with subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
