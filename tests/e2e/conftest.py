"""The whole stack, started once for the end-to-end tests on free ports and a data folder of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import REPOSITORY, stack_environment

#: The recorded feeds of the product, which its schedule names, and some that are never reached, with and without a network.
_RECORDED = REPOSITORY / "services" / "news" / "recorded"
_FEEDS = f"""
feeds:
  - {{name: recorded-fed, adapter: recorded, file: {_RECORDED}/fed_press_2026-04-24.xml, items_each: 4, interval: 10s, publisher: Federal Reserve Board}}
  - {{name: recorded-edgar, adapter: recorded, file: {_RECORDED}/sec_edgar_8k_2026-04-30.xml, items_each: 4, interval: 10s, publisher: SEC EDGAR}}
  - {{name: nowhere, adapter: rss, url: "https://nowhere.invalid/rss", interval: 15m}}
  - {{name: yahoo, adapter: yahoo, url: "https://yahoo.invalid/{{symbol}}", interval: 15m, symbols: [IBM.XNYS, AAPL.XNAS]}}
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running installation."""

    env: dict[str, str]
    """The environment it was started with; programs started with it find it."""
    home: Path
    """Its data folder."""

    @property
    def edge(self) -> str:
        """HOST:PORT of the edge."""
        return f"127.0.0.1:{self.env['SIGNALBOX_EDGE_PORT']}"

    @property
    def base_url(self) -> str:
        """Address of the page."""
        return f"http://{self.edge}"

    @property
    def bootstrap(self) -> str:
        """Address of the broker."""
        return f"127.0.0.1:{self.env['SIGNALBOX_KAFKA_PORT']}"


def signalbox(env: dict[str, str], *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Runs the command-line tool and waits for it."""
    command = [sys.executable, "-m", "deploy.local.cli", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=env, text=True, capture_output=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up and ready; stopped at the end, also on failure."""
    home = tmp_path_factory.mktemp("stack-home")
    feeds = home / "feeds.yaml"
    feeds.write_text(_FEEDS, encoding="utf-8")
    env = stack_environment(home, prepared=True, SIGNALBOX_NEWS_FEEDS=str(feeds))
    started = signalbox(env, "up")
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        yield Stack(env, home)
    finally:
        stopped = signalbox(env, "down")
        assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}"
