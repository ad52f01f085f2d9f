"""REST through the edge, for commands."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from deploy.local import answers
from deploy.local.errors import StackError, Unreachable
from deploy.local.settings import StackSettings

#: Seconds for one answer; longer than any wait that is asked for.
_TIMEOUT_SECONDS = 30.0
#: Seconds for which an edge that does not answer is asked again, and between two questions.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 30.0, 0.5
#: What the edge says while a service behind it starts again.
_AWAY = frozenset({502, 503, 504})


def edge() -> EdgeRest:
    """The edge that the environment names. Raises SettingError."""
    return EdgeRest(f"http://{StackSettings.from_environment().edge}")


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """As of any command, also for an answer that is not as it should be."""
    with answers.failures(as_json):
        try:
            yield
        except KeyError as error:
            raise StackError(f"the edge answered without {error}", "is it of another version?") from error


class EdgeRest:
    """Questions to one edge. url: without a slash at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        """Without a slash at the end."""
        # The edge is on this machine; a proxy in the environment is for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        """The answer. Raises StackError with what the edge says is wrong, Unreachable."""
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer, asked for once. Raises as `get`."""
        return self._ask("POST", path, body)

    def post_patiently(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The same for what may be asked again: for half a minute while nobody answers. Raises as `get`."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self.post(path, body)
            except Unreachable:
                if time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable.edge(self.url, getattr(error, "reason", error)) from error
        return found

    def _refusal(self, error: urllib.error.HTTPError) -> StackError:
        text = error.read().decode("utf-8", "replace")
        try:
            said = json.loads(text)
        except ValueError:
            said = {}
        detail = (said.get("message") or said.get("detail")) if isinstance(said, dict) else ""
        message = f"{detail or text or error.reason} (HTTP {error.code})"
        return Unreachable(message, "a process is not ready; `make status` says which") if error.code in _AWAY else StackError(message)
