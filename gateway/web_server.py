"""Serves the page: the files of gateway/web, and nothing else."""

import hashlib
import mimetypes
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from services.runtime.errors import AddressInUse

PAGE = Path(__file__).parent / "web"
"""The folder of the page."""

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}

#: Own scripts and styles only; the chart library sets style attributes. Older browsers take 'self' for HTTP only, so the WebSocket is named.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "connect-src 'self'",
    )
)
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def start_web_server(host: str, port: int, folder: Path = PAGE) -> web.AppRunner:
    """Listen. Raises AddressInUse."""
    app = web.Application(middlewares=[_secure])
    app.router.add_get("/{path:.*}", _Files(folder.resolve()).serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise AddressInUse(host, port, "the page", error.strerror or str(error)) from error
    return runner


class _Files:
    """The files under one folder. They are small and few; the operating system keeps them in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One file; `/` is the index. 404 for what is not there or is outside."""
        path = (self._folder / (request.match_info["path"] or "index.html")).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise web.HTTPNotFound(text="not found\n")
        body = path.read_bytes()
        # Weak, because the edge may compress: the bytes then differ and the file is the same.
        etag = hashlib.sha256(body).hexdigest()[:24]
        headers = {"ETag": f'W/"{etag}"', "Cache-Control": _cache_control(path.relative_to(self._folder))}
        if any(each.value in (etag, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers | {"Content-Type": _content_type(path)})


def _cache_control(path: Path) -> str:
    # Vendored files carry their version and do not change; all else is asked for again, which costs one 304.
    return "public, max-age=86400" if path.parts[0] == "vendor" else "no-cache"


def _content_type(path: Path) -> str:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


@web.middleware
async def _secure(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_headers(request))
        raise
    response.headers.update(_headers(request))
    return response


def _headers(request: web.Request) -> dict[str, str]:
    sockets = f" ws://{request.host} wss://{request.host}" if _HOST.fullmatch(request.host) else ""
    return {
        "Content-Security-Policy": _POLICY + sockets,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
