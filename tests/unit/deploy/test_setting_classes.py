"""What must hold for every class of settings, whichever process it belongs to."""

import pytest
from pydantic_settings import BaseSettings

from deploy.local.configuration import SETTINGS, load_class
from services.runtime.settings import env_name

#: All but the class of all stream workers, which cannot be made: each worker gives it a name.
CLASSES = [load_class(path) for _title, path in SETTINGS if not path.endswith(":StreamWorkerSettings")]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def cls(request: pytest.FixtureRequest) -> type[BaseSettings]:
    found: type[BaseSettings] = request.param
    return found


def test_variables_of_other_programs_are_not_taken(cls: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    before, own = cls(), {env_name(cls, name) for name in cls.model_fields} - set(cls.model_fields)
    for name in {text for field in cls.model_fields for text in (field, field.upper())} - own:
        monkeypatch.setenv(name, "7")
    assert cls() == before
