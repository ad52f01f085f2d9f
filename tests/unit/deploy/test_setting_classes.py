"""What must hold for every class of settings, whichever process it belongs to."""

import importlib
import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from deploy.local.configuration import SETTINGS, load_class
from deploy.local.processes import stack_phases
from deploy.local.settings import PORTS, REPOSITORY, StackSettings
from services.runtime.environment import EnvironmentSettings
from services.runtime.settings import env_name

#: All but the class of all stream workers, which cannot be made: each worker gives it a name.
CLASSES = [load_class(path) for _title, path in SETTINGS if not path.endswith(":StreamWorkerSettings")]

#: Not of a process of the stack: parts of others, and those of commands.
OTHERS = {"EnvironmentSettings", "TracingSettings", "InstrumentSettings", "KindsSettings", "ReplaySettings", "RebuildSettings"}

#: Who reads a variable of ours besides classes of settings, and why.
OTHER_READERS = {
    "deploy/local/broker.py": "the folder of jars, for tests and the set-up",
    "services/prices/sessions.py": "a command of the set-up",
    "services/runtime/engine_choice.py": "before numba is imported; every process checks it",
    "services/runtime/telemetry.py": "without pydantic, for commands that never trace; every process checks it",
}


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def cls(request: pytest.FixtureRequest) -> type[BaseSettings]:
    found: type[BaseSettings] = request.param
    return found


def variables(cls: type[BaseSettings]) -> dict[str, str]:
    """Field by its variable."""
    return {env_name(cls, name): name for name in cls.model_fields if env_name(cls, name) != name}


def test_variables_of_other_programs_are_not_taken(cls: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    before = cls()
    for name in {text for field in cls.model_fields for text in (field, field.upper())} - variables(cls).keys():
        monkeypatch.setenv(name, "7")
    assert cls() == before


def test_every_number_has_bounds(cls: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [variable for variable, name in variables(cls).items() if cls.model_fields[name].annotation in {int, float, float | None}]
    assert numbers
    for variable in numbers:
        for value in ("inf", "-inf", "nan", "1e300", "-1e300", "9" * 30, "-5"):
            monkeypatch.setenv(variable, value)
            with pytest.raises(ValidationError, match=variable):
                cls()
        monkeypatch.delenv(variable)


def test_every_process_of_the_stack_has_its_settings_checked() -> None:
    titles = {title for title, _path in SETTINGS}
    processes = {process.name for phase in stack_phases(StackSettings.from_environment({})) for process in phase.processes}
    assert {name for name in processes if name not in titles} == {"kafka", "valkey", "envoy"}
    assert "Envoy" in titles


def test_every_class_is_checked_before_the_start() -> None:
    for folder in ("services", "gateway", "deploy"):
        for path in (path for path in (REPOSITORY / folder).rglob("*.py") if "Settings(" in path.read_text(encoding="utf-8")):
            if re.search(r"^class \w+Settings\(", path.read_text(encoding="utf-8"), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    ours: set[type[BaseSettings]] = {each for each in subclasses(BaseSettings) if each.__module__.partition(".")[0] in {"services", "gateway", "deploy"}}
    known = {load_class(path) for _title, path in SETTINGS}
    assert {each.__name__ for each in ours - known} == OTHERS
    assert all(issubclass(each, EnvironmentSettings) for each in ours)


def subclasses(cls: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


def test_nobody_else_reads_our_variables() -> None:
    ours = {variable for cls in CLASSES for variable in variables(cls)} | {port.setting for port in PORTS.values()}
    # A name in quotes, or a constant that holds one.
    read = re.compile(r"(?:environ(?:\.get\(|\[)|getenv\()\s*(?:[\"'](\w+)|[A-Z_]+\b)")
    readers = set()
    for path in (path for folder in ("services", "gateway", "deploy") for path in (REPOSITORY / folder).rglob("*.py")):
        for found in read.finditer(path.read_text(encoding="utf-8")):
            if found[1] is None or found[1].startswith("SIGNALBOX_") or found[1] in ours:
                readers.add(str(path.relative_to(REPOSITORY)))
    assert readers == OTHER_READERS.keys()
