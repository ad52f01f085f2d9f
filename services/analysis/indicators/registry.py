"""The one list of indicators, in the order of the value columns."""

from collections.abc import Mapping
from types import MappingProxyType

from services.analysis.indicators import averages, momentum, volatility
from services.analysis.indicators.base import Indicator

#: Order is a contract: it is the order of columns on the wire and in checkpoints.
INDICATORS: tuple[Indicator, ...] = (*averages.INDICATORS, *momentum.INDICATORS, *volatility.INDICATORS)
NAMES: tuple[str, ...] = tuple(indicator.name for indicator in INDICATORS)
#: Position of each value column by name.
COLUMN: Mapping[str, int] = MappingProxyType({name: at for at, name in enumerate(NAMES)})
