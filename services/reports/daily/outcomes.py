"""What prices did after earlier signals of a type.

A signal is known at the close of its bar; its outcome after n sessions is the close n bars later against that close. Outcomes over a suspected split are
left out, and only those that were known on the report's day count. Hit: the close had moved the way the signal points. The interval is Wilson's at 95 %;
outcomes of 20 sessions overlap and symbols move together, so the true uncertainty is larger than it says. The base rate is the share of all sessions that
would have been hits: a signal says something only where its hit rate is away from it.
Source of the interval: Wilson (1927), as statsmodels' proportion_confint(method="wilson").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from services.reports.daily.model import HORIZONS, MIN_SAMPLE, Direction, FloatArray, HorizonOutcome, IntArray, SignalOutcomes

#: Of the normal distribution, for 95 %.
_Z = 1.959963984540054
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PastReturns:
    """One symbol's returns after its signals, and how often its price rose and fell at all; horizons in the order of HORIZONS."""

    by_type: Mapping[int, tuple[FloatArray, ...]]
    """Returns by horizon, of each type of signal."""
    sessions: tuple[int, ...]
    """Sessions whose outcome is known."""
    rose: tuple[int, ...]
    """In so many of them the price rose."""
    fell: tuple[int, ...]


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Interval of a share at 95 %. n: >= 1."""
    share, z2 = hits / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def past_returns(close: FloatArray, rows: IntArray, types: IntArray, splits: Sequence[int]) -> PastReturns:
    """close: shape (n,). rows, types: shape (m,), bars at which signals were known. splits: bars that open after a suspected split."""
    returns = tuple(_forward(close, horizon, splits) for horizon in HORIZONS)
    by_type = {int(kind): tuple(_known(forward[rows[types == kind]]) for forward in returns) for kind in np.unique(types)}
    known = tuple(_known(forward) for forward in returns)
    return PastReturns(
        by_type,
        tuple(len(values) for values in known),
        tuple(int(np.count_nonzero(values > 0)) for values in known),
        tuple(int(np.count_nonzero(values < 0)) for values in known),
    )


def _forward(close: FloatArray, horizon: int, splits: Sequence[int]) -> FloatArray:
    forward = np.full(len(close), np.nan)
    if len(close) > horizon:
        forward[:-horizon] = close[horizon:] / close[:-horizon] - 1.0
    for at in splits:
        forward[max(0, at - horizon) : at] = np.nan
    return forward


def _known(values: FloatArray) -> FloatArray:
    known: FloatArray = values[~np.isnan(values)]
    return known


def outcomes(past: Iterable[PastReturns], kind: int, direction: Direction, scope: str) -> SignalOutcomes:
    """What earlier signals of a type did, over these symbols."""
    concerned = [item for item in past if kind in item.by_type]
    horizons = tuple(_horizon(concerned, kind, direction, at) for at in range(len(HORIZONS)))
    return SignalOutcomes(scope, len(concerned), horizons)


def _horizon(past: Sequence[PastReturns], kind: int, direction: Direction, at: int) -> HorizonOutcome:
    returns = np.concatenate([np.empty(0), *(item.by_type[kind][at] for item in past)])
    n, sessions = len(returns), HORIZONS[at]
    if n < MIN_SAMPLE:
        return HorizonOutcome(sessions, n, is_enough=False, text=f"too few (n={n}, needs {MIN_SAMPLE})")
    up = direction is Direction.UP
    hits = int(np.count_nonzero(returns > 0 if up else returns < 0))
    low, high = wilson(hits, n)
    q5, q25, q50, q75, q95 = np.quantile(returns, _QUANTILES).tolist()
    return HorizonOutcome(
        sessions=sessions,
        n=n,
        is_enough=True,
        text=f"{direction} in {hits / n:.0%} of {n} (95 %: {low:.0%} to {high:.0%})",
        hit_rate=hits / n,
        hit_low=low,
        hit_high=high,
        base_rate=sum((item.rose if up else item.fell)[at] for item in past) / sum(item.sessions[at] for item in past),
        mean_return=float(returns.mean()),
        median_return=q50,
        quantiles=(q5, q25, q50, q75, q95),
    )
