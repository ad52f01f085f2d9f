"""Settings of the stack: defaults as documented, mistakes named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.configuration import checked, unknown_variables
from deploy.local.errors import SettingError
from deploy.local.processes import partitions
from deploy.local.run import run_seconds
from deploy.local.settings import PORTS, REPOSITORY, StackSettings
from services.runtime.topics import DEFAULT_PARTITIONS


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
    assert partitions({}) == DEFAULT_PARTITIONS
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


def test_what_settings_name_is_read_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latin.yaml").write_bytes("- {name: é}".encode("latin-1"))
    (tmp_path / "feeds.yaml").write_text("feeds: [{name: a, url: 'https://a.example', interval: soon}, {name: b}]")
    (tmp_path / "digits.toml").write_text("symbols = 3")
    wrong = {
        "SIGNALBOX_SCHEDULE": (str(tmp_path / "latin.yaml"), "a schedule without mistakes: expected a readable YAML file: "),
        "SIGNALBOX_JOB_KINDS_MODULE": ("no.such.module", "modules with kinds of jobs; no.such.module: cannot be imported: ModuleNotFoundError: "),
        "SIGNALBOX_NEWS_ALIASES": (str(tmp_path / "none.yaml"), "a table of aliases without mistakes: cannot be read: "),
        "SIGNALBOX_NEWS_FEEDS": (str(tmp_path / "feeds.yaml"), "a file of feeds without mistakes: feeds.0.interval (a): expected a number and s"),
        "SIGNALBOX_INSTRUMENTS": (str(tmp_path / "digits.toml"), "a file of instruments without mistakes: symbols: expected a table, was 3"),
        "SIGNALBOX_EDGE_PORT": ("http", "a port from 1 to 65535"),
    }
    for name, (value, _) in wrong.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIGNALBOX_REPORT_NOTIFY", "secret")
    with pytest.raises(SettingError) as caught:
        checked(StackSettings.from_environment, partitions)
    said = {line.partition(":")[0]: line for line in caught.value.problems}
    assert len(said) == len(caught.value.problems)
    assert said.pop("SIGNALBOX_REPORT_NOTIFY").startswith("SIGNALBOX_REPORT_NOTIFY: was '***'; expected: Apprise URLs")
    assert said.keys() == wrong.keys()
    for name, (value, expected) in wrong.items():
        assert said[name].startswith(f"{name}: was '{value}'; expected: {expected}")


def test_a_module_of_kinds_may_print_and_even_end_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_kinds.py").write_text("print('hello')\nJOB_KINDS = []\n")
    (tmp_path / "ending_kinds.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SIGNALBOX_JOB_KINDS_MODULE", "loud_kinds")
    checked(StackSettings.from_environment, partitions)
    monkeypatch.setenv("SIGNALBOX_JOB_KINDS_MODULE", "ending_kinds")
    with pytest.raises(SettingError, match="ending_kinds: cannot be imported: SystemExit"):
        checked(StackSettings.from_environment, partitions)


def test_a_misspelt_variable_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_LATENES_MS", "5")
    monkeypatch.setenv("SIGNALBOX_XYZ", "1")
    monkeypatch.setenv("SIGNALBOX_EMPTY", "")
    monkeypatch.setenv("SIGNALBOX_DATA", "/data")
    with pytest.raises(SettingError) as caught:
        checked(StackSettings.from_environment, partitions)
    assert caught.value.problems == (
        "SIGNALBOX_LATENES_MS: is no setting; did you mean SIGNALBOX_LATENESS_MS?",
        "SIGNALBOX_XYZ: is no setting; docs/settings.md lists all",
    )


def test_what_the_stack_tells_its_processes_is_known() -> None:
    assert unknown_variables(StackSettings.from_environment({}).child_environment()) == []


@pytest.mark.parametrize("value", ["not a host", "localhost", "::1", "192.0.2.1"])
def test_an_address_that_cannot_be_listened_on(value: str) -> None:
    with pytest.raises(SettingError, match=f"^SIGNALBOX_HOST: was '{value}'; expected: an"):
        StackSettings.from_environment({"SIGNALBOX_HOST": value})


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
def test_our_own_processes_are_asked_where_they_listen(host: str, asked: str) -> None:
    settings = StackSettings.from_environment({"SIGNALBOX_HOST": host})
    assert (settings.edge, settings.page_url) == (f"{asked}:8080", f"http://{asked}:8080/")
    assert settings.child_environment({})["SIGNALBOX_PRICES_ADDRESS"] == f"{asked}:50051"
    at = {use.setting: use.host for use in settings.used_ports()}
    assert (at["SIGNALBOX_EDGE_PORT"], at["SIGNALBOX_VALKEY_PORT"], at["SIGNALBOX_ENVOY_ADMIN_PORT"]) == (host, "127.0.0.1", "127.0.0.1")


def test_right_settings_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_EDGE_PORT", "18080")
    settings, count = checked(StackSettings.from_environment, partitions)
    assert (settings.ports["edge"], count) == (18080, DEFAULT_PARTITIONS)


def test_settings_are_checked_without_loading_what_is_heavy() -> None:
    load = "import sys, deploy.local.configuration as c; [c.load_class(path) for _, path in c.SETTINGS]"
    code = f"{load}; print({{'numba', 'faust', 'pandas', 'grpc'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip() == "set()"
