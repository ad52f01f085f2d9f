"""Real servers for tests: started on free ports in a temporary folder, stopped also on failure.

A plugin: `pytest_plugins = ["tests.servers"]` in the top conftest makes the fixtures known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker import EmbeddedBroker
from deploy.local.ports import free_ports
from deploy.local.valkey import EmbeddedValkey

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_jars_dir() -> Path:
    """Kafka's jars for tests: the folder named by SIGNALBOX_JARS_DIR, or the clone's own data folder."""
    return Path(os.environ.get("SIGNALBOX_JARS_DIR") or REPOSITORY / ".signalbox" / "jars")


def new_broker(home: Path) -> EmbeddedBroker:
    """A broker on free ports that was not started yet; for tests that stop, kill or restart it."""
    port, controller_port = free_ports(2)
    return EmbeddedBroker(home, port, controller_port, jars=shared_jars_dir())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real, empty Kafka broker, one for the whole test session."""
    with new_broker(tmp_path_factory.mktemp("kafka-home")) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real, empty Valkey, one for the whole test session."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey-home"), free_ports(1)[0]) as server:
        yield server.url
