"""The base of all settings: what is read from the environment, and by which names."""

import os

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class _Variables(PydanticBaseSettingsSource):
    """The environment, by `validation_alias` only: the library's own source also takes HOME and HOST for the fields `home` and `host`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The variable's text; None when it is not set or empty."""
        name = variable_of(field)
        return (os.environ.get(name) or None) if name else None, name or field_name, False

    def __call__(self) -> dict[str, object]:
        """The variables that are set, by name."""
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}


class EnvironmentSettings(BaseSettings):
    """What every class of settings comes from: each field has its environment variable as `validation_alias`, or is not read from the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests give them by field name), then the environment by the variables' names only."""
        return init_settings, _Variables(settings_cls)


def variable_of(field: FieldInfo) -> str | None:
    """The environment variable of a field; None when it has none."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return alias if isinstance(alias, str) else None
