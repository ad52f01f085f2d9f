"""Settings of the stack: defaults as documented, mistakes named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.configuration import checked
from deploy.local.errors import SettingError
from deploy.local.processes import partitions
from deploy.local.run import run_seconds
from deploy.local.settings import PORTS, REPOSITORY, StackSettings


def test_documented_defaults() -> None:
    settings = StackSettings.from_environment({})
    assert settings.home == REPOSITORY / ".signalbox"
    assert settings.bootstrap == "127.0.0.1:19092"
    assert settings.redis_url == "redis://127.0.0.1:16379/0"
    assert settings.page_url == "http://127.0.0.1:8080/"
    assert {use.port for use in settings.used_ports()} == {port.default for port in PORTS.values()}


def test_named_servers_are_used_and_their_ports_left_alone() -> None:
    settings = StackSettings.from_environment({"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "REDIS_URL": "redis://r:6379/1"})
    assert (settings.bootstrap, settings.redis_url) == ("k:9092", "redis://r:6379/1")
    assert not {19092, 19093, 16379} & {use.port for use in settings.used_ports()}


def test_every_process_is_told_everything(tmp_path: Path) -> None:
    given = {"SIGNALBOX_HOME": str(tmp_path), "SIGNALBOX_EDGE_PORT": "18080", "PATH": "/bin"}
    env = StackSettings.from_environment(given).child_environment(given)
    assert {port.setting for port in PORTS.values()} <= env.keys()
    assert (env["SIGNALBOX_EDGE_PORT"], env["KAFKA_BOOTSTRAP_SERVERS"], env["PATH"]) == ("18080", "127.0.0.1:19092", "/bin")


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none(value: str) -> None:
    with pytest.raises(SettingError, match=f"^SIGNALBOX_EDGE_PORT: was '{value}'; expected: a port from 1 to 65535$"):
        StackSettings.from_environment({"SIGNALBOX_EDGE_PORT": value})


def test_one_port_for_two() -> None:
    with pytest.raises(SettingError, match="SIGNALBOX_ENVOY_ADMIN_PORT: was '9000'; expected: a port of its own, but SIGNALBOX_EDGE_PORT is the same"):
        StackSettings.from_environment({"SIGNALBOX_EDGE_PORT": "9000", "SIGNALBOX_ENVOY_ADMIN_PORT": "9000"})


def test_an_embedded_server_that_is_not_used_may_share_a_number() -> None:
    env = {"REDIS_URL": "redis://r", "SIGNALBOX_VALKEY_PORT": "8080"}
    assert StackSettings.from_environment(env).redis == "redis://r"


def test_partitions() -> None:
    assert partitions({}) == 4
    assert partitions({"SIGNALBOX_PARTITIONS": "16"}) == 16
    with pytest.raises(SettingError, match="was 'many'"):
        partitions({"SIGNALBOX_PARTITIONS": "many"})


def test_every_wrong_setting_of_every_process_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "SIGNALBOX_EDGE_PORT": "http",
        "SIGNALBOX_GATEWAY_PORT": "70000",
        "SIGNALBOX_PARTITIONS": "many",
        "SIGNALBOX_LATENESS_MS": "-1",
        "SIGNALBOX_FEEDS": "none",
        "SIGNALBOX_HUB_FLUSH_MS": "soon",
        "SIGNALBOX_LOG_LEVEL": "loud",
        "SIGNALBOX_EDGE_MAX_CONNECTIONS": "0",
        "RUN_SECONDS": "-3",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        checked(StackSettings.from_environment, run_seconds)
    assert sorted(line.partition(":")[0] for line in caught.value.problems) == sorted(wrong)
    for line in caught.value.problems:
        assert f": was {wrong[line.partition(':')[0]]!r}; expected: " in line
    assert caught.value.message.splitlines()[0] == "9 settings are wrong:"


def test_right_settings_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_EDGE_PORT", "18080")
    settings, count = checked(StackSettings.from_environment, partitions)
    assert (settings.ports["edge"], count) == (18080, 4)


def test_settings_are_checked_without_loading_what_is_heavy() -> None:
    load = "import sys, deploy.local.configuration as c; [c.load_class(path) for _, path in c.SETTINGS]"
    code = f"{load}; print({{'numba', 'faust', 'pandas', 'grpc'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip() == "set()"
