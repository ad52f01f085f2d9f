"""Settings from the environment: frozen, typed, all mistakes reported at once."""

import sys
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from services.runtime.environment import variable_of
from services.runtime.setting_types import Addresses, Ipv4Address, RedisUrl, without_passwords
from services.runtime.topics import DEFAULT_PARTITIONS
from services.runtime.tracing_settings import TracingSettings

_REPOSITORY = Path(__file__).resolve().parents[2]

#: Exit code for wrong settings, as for wrong command lines: nothing was started, starting again will not help.
EXIT_WRONG_SETTINGS = 2

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class RuntimeSettings(TracingSettings):
    """What every process needs to know. A process adds fields in a subclass, each with its environment variable as `validation_alias`."""

    kafka_bootstrap_servers: Addresses = Field(default="127.0.0.1:19092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    """Addresses of the Kafka cluster, host:port, separated by commas."""
    redis_url: RedisUrl = Field(default="redis://127.0.0.1:16379/0", validation_alias="REDIS_URL")
    """Address of Valkey or Redis."""
    home: Path = Field(default=_REPOSITORY / ".signalbox", validation_alias="SIGNALBOX_HOME")
    """The data folder."""
    partitions: int = Field(default=DEFAULT_PARTITIONS, validation_alias="SIGNALBOX_PARTITIONS", ge=1, le=1024)
    """Number of partitions of the market topics: as many workers of a kind can share the work. It cannot be changed once there is data."""
    host: Ipv4Address = Field(default="127.0.0.1", validation_alias="SIGNALBOX_HOST")
    """IPv4 address to listen on; 0.0.0.0: all of the machine."""
    engine: Literal["compiled", "plain"] = Field(default="compiled", validation_alias="SIGNALBOX_ENGINE")
    """Compiled kernels, or the same functions as plain Python: much slower, to compare with."""
    log_format: Literal["json", "text"] = Field(default="json", validation_alias="SIGNALBOX_LOG_FORMAT")
    """One JSON object a line, or readable text."""
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", validation_alias="SIGNALBOX_LOG_LEVEL")
    """The least level that is written."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; each process names its own variable. 0 takes any free port."""


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Reads settings from the environment. On mistakes prints each of them to stderr and exits with code 2."""
    try:
        return cls()
    except ValidationError as error:
        _exit_with(settings_problems(cls, error))


def check_settings(*classes: type[BaseSettings]) -> None:
    """Reads settings that are made later. On mistakes prints those of all classes to stderr, each once, and exits with code 2."""
    problems: list[str] = []
    for cls in classes:
        try:
            cls()
        except ValidationError as error:
            problems += settings_problems(cls, error)
    if problems:
        _exit_with(list(dict.fromkeys(problems)))


def settings_problems(cls: type[BaseSettings], error: ValidationError) -> list[str]:
    """One line for each wrong setting: its environment variable, the value, what was expected."""
    return [_problem(cls, item["loc"], item["input"], item["msg"], item["type"]) for item in error.errors()]


def _problem(cls: type[BaseSettings], loc: tuple[int | str, ...], value: object, message: str, kind: str) -> str:
    name = env_name(cls, str(loc[0])) if loc else cls.__name__
    if kind == "missing":
        return f"{name}: is not set and has no default"
    return f"{name}: was {_shown(cls, loc, value)!r}; expected: {_expected(message)}"


def _shown(cls: type[BaseSettings], loc: tuple[int | str, ...], value: object) -> str:
    """What may be printed: nothing of a field that is kept out of `repr`, no passwords of addresses."""
    hidden = {env_name(cls, name) for name, field in cls.model_fields.items() if not field.repr}
    return "***" if loc and env_name(cls, str(loc[0])) in hidden else without_passwords(str(value))


def _expected(message: str) -> str:
    for prefix in ("Input should be ", "String should ", "Value error, "):
        if message.startswith(prefix):
            return message[len(prefix) :]
    return message


def env_name(cls: type[BaseSettings], key: str) -> str:
    """The environment variable of a setting. key: the field's name or already the variable."""
    field = cls.model_fields.get(key)
    return variable_of(field) or key if field else key


def _exit_with(problems: list[str]) -> NoReturn:
    sys.stderr.write("settings are wrong:\n" + "".join(f"  {line}\n" for line in problems))
    raise SystemExit(EXIT_WRONG_SETTINGS)
