"""Real servers for tests: started on free ports in a temporary folder, stopped also on failure.

A plugin: `pytest_plugins = ["tests.servers"]` in the top conftest makes the fixtures known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.broker import EmbeddedBroker
from deploy.local.settings import PORTS
from deploy.local.valkey import EmbeddedValkey
from tests.ports import free_ports
from tests.prepared import have_java_begin_quickly, prepare_home

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_jars_dir() -> Path:
    """Kafka's jars for tests: the folder named by SIGNALBOX_JARS_DIR, or the clone's own data folder."""
    return Path(os.environ.get("SIGNALBOX_JARS_DIR") or REPOSITORY / ".signalbox" / "jars")


def stack_environment(home: Path, *, prepared: bool = False, **changes: str) -> dict[str, str]:
    """An environment for a stack of its own: free ports, its data folder, the jars shared with the other tests. prepared: its folder is set up already."""
    have_java_begin_quickly(shared_jars_dir())
    if prepared:
        prepare_home(home)
    ours = {"KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "RUN_SECONDS", "MAKEFLAGS", "MAKELEVEL"}
    inherited = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("SIGNALBOX_")}
    ports = {port.setting: str(number) for port, number in zip(PORTS.values(), free_ports(len(PORTS)), strict=True)}
    return {**inherited, **ports, "SIGNALBOX_HOME": str(home), "SIGNALBOX_JARS_DIR": str(shared_jars_dir()), "COLUMNS": "400", **changes}


def processes_of(home: Path) -> list[str]:
    """Pid and name of the processes that belong to the stack on this data folder; zombies do not count."""
    return [f"{process.pid} {process.name()}" for process in psutil.process_iter() if _belongs_to(process, home)]


def _belongs_to(process: psutil.Process, home: Path) -> bool:
    try:
        # Valkey writes its title over its environment, but works in its folder.
        ours = process.environ().get("SIGNALBOX_HOME") == str(home) or Path(process.cwd()).is_relative_to(home)
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def new_broker(home: Path, *, lasting: bool = False) -> EmbeddedBroker:
    """A broker on free ports that was not started yet; for tests that stop, kill or restart it. lasting: as the product starts it."""
    have_java_begin_quickly(shared_jars_dir())
    port, controller_port = free_ports(2)
    return EmbeddedBroker(home, port, controller_port, jars=shared_jars_dir(), lasting=lasting)


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
