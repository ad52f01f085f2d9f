"""Settings: every mistake at once, named by its environment variable."""

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from services.runtime.settings import RuntimeSettings, check_settings, load_settings
from services.runtime.topics import DEFAULT_PARTITIONS


class DemoSettings(RuntimeSettings):
    port: int = Field(default=1234, validation_alias="SIGNALBOX_DEMO_PORT", ge=1, le=65535)
    name: str = Field(validation_alias="SIGNALBOX_DEMO_NAME")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "SIGNALBOX_HOME", "SIGNALBOX_PARTITIONS", "SIGNALBOX_LOG_FORMAT", "SIGNALBOX_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_defaults() -> None:
    settings = load_settings(RuntimeSettings)
    assert settings.kafka_bootstrap_servers == "127.0.0.1:19092"
    assert settings.redis_url == "redis://127.0.0.1:16379/0"
    assert (settings.partitions, settings.host, settings.log_level) == (DEFAULT_PARTITIONS, "127.0.0.1", "info")
    assert settings.home.name == ".signalbox"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:1,two:2")
    monkeypatch.setenv("SIGNALBOX_HOME", "/somewhere")
    monkeypatch.setenv("SIGNALBOX_DEMO_NAME", "demo")
    settings = load_settings(DemoSettings)
    assert settings.kafka_bootstrap_servers == "one:1,two:2"
    assert settings.home == Path("/somewhere")
    assert (settings.port, settings.name) == (1234, "demo")


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_PARTITIONS", "")
    assert load_settings(RuntimeSettings).partitions == DEFAULT_PARTITIONS


def test_all_mistakes_are_reported_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_PARTITIONS", "many")
    monkeypatch.setenv("SIGNALBOX_DEMO_PORT", "70000")
    monkeypatch.setenv("SIGNALBOX_LOG_FORMAT", "xml")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "nowhere")
    with pytest.raises(SystemExit) as exit_:
        load_settings(DemoSettings)
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert "SIGNALBOX_PARTITIONS: was 'many'; expected: a valid integer" in text
    assert "SIGNALBOX_DEMO_PORT: was '70000'; expected: less than or equal to 65535" in text
    assert "SIGNALBOX_LOG_FORMAT: was 'xml'; expected: 'json' or 'text'" in text
    assert "KAFKA_BOOTSTRAP_SERVERS: was 'nowhere'; expected: host:port" in text
    assert "SIGNALBOX_DEMO_NAME: is not set and has no default" in text


@pytest.mark.parametrize("value", ["http://me:secret@h", "redis://me:secret@h:port/0", "redis://h:99999/0?password=secret", "redis:me:secret@h"])
def test_passwords_are_not_shown(value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_DEMO_NAME", "demo")
    monkeypatch.setenv("REDIS_URL", value)
    with pytest.raises(SystemExit):
        load_settings(DemoSettings)
    said = capsys.readouterr().err
    assert "REDIS_URL: was '" in said
    assert "secret" not in said


def test_settings_of_several_classes_are_checked_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_DEMO_NAME", "demo")
    check_settings(RuntimeSettings, DemoSettings)
    monkeypatch.setenv("SIGNALBOX_ENGINE", "plane")
    monkeypatch.setenv("SIGNALBOX_DEMO_PORT", "0")
    with pytest.raises(SystemExit) as exit_:
        check_settings(RuntimeSettings, DemoSettings)
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert said.count("SIGNALBOX_ENGINE: was 'plane'; expected: 'compiled' or 'plain'") == said.count("SIGNALBOX_DEMO_PORT") == 1


def test_settings_cannot_be_changed() -> None:
    settings = RuntimeSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.partitions = 5


def test_tests_may_give_values_by_field_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_PARTITIONS", "9")
    assert RuntimeSettings(partitions=2, host="10.0.0.1").partitions == 2
