"""What every family of indicators is described with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Indicator:
    """One value column: an output of an indicator with fixed parameters."""

    name: str
    """Name with parameters, `sma_20`; also the name on the wire."""
    parameters: tuple[float, ...]
    """As in the name, in the order of TA-Lib's arguments. Periods are in bars."""
    lookback: int
    """Bars before the first value: the value of bar `lookback` (from 0) is the first that is not NaN. Equal to TA-Lib's lookback."""
    pane: str
    """Where a chart puts it: `price` (over the candles) or a pane of its own."""
    description: str
    """What it is, in one line, with its source."""
