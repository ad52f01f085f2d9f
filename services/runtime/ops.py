"""What operators and Prometheus ask a process: `/metrics`, `/healthz`, `/readyz`."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from services.runtime.errors import AddressInUse
from services.runtime.metrics import UNEXPECTED_ERRORS

#: None = fine, a text = why not.
Check = Callable[[], str | None]


class OpsServer:
    """A small HTTP server in its own thread, so that it answers also when the event loop is stuck.

    Checks run in that thread: they must be cheap, thread-safe, and touch what they report on.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", registry: CollectorRegistry = REGISTRY) -> None:
        self._address = (host, port)
        self._registry = registry
        self._ready: dict[str, Check] = {}
        self._live: dict[str, Check] = {}
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the one asked for before `start`."""
        return int(self._server.server_address[1]) if self._server else self._address[1]

    def add_ready_check(self, name: str, check: Check) -> None:
        """The process is ready when all of these are fine. None = fine, a text = why not."""
        self._ready[name] = check

    def add_live_check(self, name: str, check: Check) -> None:
        """The process is alive when all of these are fine; otherwise it should be started anew."""
        self._live[name] = check

    def not_ready(self) -> dict[str, str]:
        """Why the process is not ready, by check; empty when it is. Without any check it is not: it has said of nothing that it is there."""
        return _failures(self._ready) if self._ready else {"start": "the process has not named what it needs yet"}

    def not_alive(self) -> dict[str, str]:
        """Why the process is not alive, by check; empty when it is."""
        return _failures(self._live)

    def metrics(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def start(self) -> None:
        """Listens. Raises AddressInUse."""
        host, port = self._address
        try:
            self._server = _Server(self._address, _handler(self))
        except OSError as error:
            raise AddressInUse(host, port, "metrics and health", error.strerror or str(error)) from error
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="ops", daemon=True).start()

    def stop(self) -> None:
        """Stops listening. Does nothing when it was not started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def _failures(checks: dict[str, Check]) -> dict[str, str]:
    return {name: why for name, check in list(checks.items()) if (why := _run(name, check)) is not None}


def _run(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that fails is a failed check, and the answer says why
        UNEXPECTED_ERRORS.labels(f"check:{name}").inc()
        return f"check failed: {error!r}"


def _handler(ops: OpsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, content_type, body = _answer(ops, self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes come every few seconds; they are not worth a line each."""

    return Handler


def _answer(ops: OpsServer, path: str) -> tuple[int, str, bytes]:
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, ops.metrics()
    if path == "/healthz":
        return _report("alive", ops.not_alive())
    if path == "/readyz":
        return _report("ready", ops.not_ready())
    return 404, "text/plain; charset=utf-8", b"not found; there are /metrics, /healthz and /readyz\n"


def _report(word: str, failures: dict[str, str]) -> tuple[int, str, bytes]:
    body = json.dumps({word: not failures, "checks": failures}) + "\n"
    return (503 if failures else 200), "application/json", body.encode()
