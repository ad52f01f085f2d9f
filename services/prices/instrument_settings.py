"""The setting that changes the digits of instruments; part of the settings of every process that makes ticks or bars of them."""

from pathlib import Path

from pydantic import Field, field_validator

from services.runtime.environment import EnvironmentSettings


class InstrumentSettings(EnvironmentSettings):
    """Where the overrides are."""

    instruments: Path | None = Field(default=None, validation_alias="SIGNALBOX_INSTRUMENTS")
    """TOML file with other digits for symbols or markets, in tables `symbols` and `mics`: `"ES.XCME" = {price_digits = 2, size_digits = 0}`. Change them on an
    empty stack only: a symbol's digits are fixed."""

    @field_validator("instruments")
    @classmethod
    def _without_mistakes(cls, value: Path | None) -> Path | None:
        from services.prices.instruments import BadOverrides, load_overrides

        try:
            if value is not None:
                load_overrides(value)
        except BadOverrides as error:
            raise ValueError(f"a file of instruments without mistakes: {'; '.join(error.problems)}") from error
        return value
