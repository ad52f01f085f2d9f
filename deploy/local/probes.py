"""Asking a process over HTTP how it is."""

from __future__ import annotations

import urllib.error
import urllib.request

# A proxy named in the environment is for the world outside, never for loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_problem(url: str, timeout_seconds: float = 1.0) -> str | None:
    """None when `url` answers 200, otherwise what it answered or why it did not."""
    try:
        with _direct.open(url, timeout=timeout_seconds):
            return None
    except urllib.error.HTTPError as error:
        body = error.read(2000).decode("utf-8", errors="replace").strip()
        return f"{url} answers {error.code} {body}"
    except OSError as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
