"""What goes wrong before the start is said plainly, and nothing is left running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local import lock
from deploy.local.errors import AlreadyRunning, PortInUse
from deploy.local.lock import StackLock
from deploy.local.ports import PortUse, check_free, is_free
from tests.ports import free_ports
from tests.servers import REPOSITORY, processes_of, stack_environment


def run(env: dict[str, str]) -> str:
    """What `make run` says when it must fail."""
    result = subprocess.run([sys.executable, "-m", "deploy.local.run"], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert processes_of(Path(env["SIGNALBOX_HOME"])) == []
    return result.stdout


def test_a_port_in_use_is_named_with_its_owner_and_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run(stack_environment(tmp_path, SIGNALBOX_EDGE_PORT=str(port)))
    assert f"port {port} (the edge: page, REST, gRPC, WebSocket) is already in use by {psutil.Process().name()} (pid {os.getpid()})" in said
    assert f"pid {os.getpid()}" in said
    assert "SIGNALBOX_EDGE_PORT=" in said


def test_a_broker_that_does_not_answer(tmp_path: Path) -> None:
    said = run(stack_environment(tmp_path, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_ports(1)[0]}"))
    assert "no Kafka broker answers there" in said
    assert "KAFKA_BOOTSTRAP_SERVERS" in said


def test_a_redis_that_does_not_answer_and_its_password_stays_ours(tmp_path: Path) -> None:
    said = run(stack_environment(tmp_path, REDIS_URL=f"redis://me:secret@127.0.0.1:{free_ports(1)[0]}/0"))
    assert "no Redis or Valkey answers there" in said
    assert "secret" not in said


def test_a_second_stack_beside_the_first(tmp_path: Path) -> None:
    with StackLock(tmp_path / "run"):
        said = run(stack_environment(tmp_path))
    assert f"another Signalbox (pid {os.getpid()}) runs on" in said


def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = run(stack_environment(tmp_path / "file" / "home"))
    assert "cannot be written" in said
    assert "SIGNALBOX_HOME" in said


@pytest.mark.parametrize(("name", "value"), [("SIGNALBOX_EDGE_PORT", "http"), ("RUN_SECONDS", "soon")])
def test_a_setting_that_makes_no_sense(tmp_path: Path, name: str, value: str) -> None:
    said = run(stack_environment(tmp_path) | {name: value})
    assert name in said
    assert repr(value) in said


def test_ports_are_checked_by_listening() -> None:
    port = free_ports(1)[0]
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        with pytest.raises(PortInUse) as caught:
            check_free([PortUse(port, "a test", "SOME_PORT")])
        assert caught.value.port == port
    assert len(set(free_ports(20))) == 20


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    assert lock.holder(tmp_path) is None
    with StackLock(tmp_path):
        assert lock.holder(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunning) as caught, StackLock(tmp_path):
            pass
        assert caught.value.pid == os.getpid()
    assert lock.holder(tmp_path) is None


def test_the_doctor_names_what_is_in_the_way(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = stack_environment(tmp_path, SIGNALBOX_VALKEY_PORT=str(port))
        result = subprocess.run(
            [sys.executable, "-m", "deploy.local.cli", "doctor", "--json"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
        )
    assert result.returncode == 1
    assert f'"name": "port {port}"' in result.stdout
    assert "SIGNALBOX_VALKEY_PORT" in result.stdout
