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
    home = Path(env["SIGNALBOX_HOME"])
    assert processes_of(home) == []
    # Set-up, the first of all, leaves its notes in `run`; each server has a folder, and each process a log.
    assert not any((home / made).exists() for made in ("run/setup.json", "kafka", "valkey", "envoy", "logs", "tables"))
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


def test_all_that_is_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
        taken = {"SIGNALBOX_EDGE_PORT": str(ports[0]), "SIGNALBOX_NEWS_PORT": str(ports[1])}
        said = run(stack_environment(tmp_path, REDIS_URL=f"redis://127.0.0.1:{free_ports(1)[0]}/0") | taken)
    assert "3 things are in the way" in said
    assert all(f"port {port} (" in said for port in ports)
    assert "no Redis or Valkey answers there" in said


@pytest.mark.parametrize("command", [["deploy.local.run"], ["deploy.local.cli", "up"]])
def test_wrong_settings_and_files_are_told_at_once_by_each_way_to_start(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "schedule.yaml").write_text("- {name: x, kind: nothing, when: never}")
    (tmp_path / "aliases.yaml").write_bytes(b"\xff")
    wrong = {
        "SIGNALBOX_EDGE_PORT": "http",
        "SIGNALBOX_LATENESS_MS": "-1",
        "SIGNALBOX_SCHEDULE": str(tmp_path / "schedule.yaml"),
        "SIGNALBOX_NEWS_ALIASES": str(tmp_path / "aliases.yaml"),
        "REDIS_URL": "http://me:secret@h",
        "SIGNALBOX_LATENES_MS": "5",
    }
    home = tmp_path / "home"
    env = stack_environment(home) | wrong
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert [name for name in wrong if said.count(f"  {name}: ") != 1] == []
    assert "did you mean SIGNALBOX_LATENESS_MS?" in said
    assert "secret" not in said
    assert "Traceback" not in said
    assert not home.exists()


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
            check_free(PortUse(port, "a test", "SOME_PORT"))
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
