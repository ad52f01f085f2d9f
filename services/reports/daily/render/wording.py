"""Sentences that both formats say alike."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from services.reports.daily import model
from services.reports.daily.render import formats

TITLE = "Daily market report"

#: What a source's word means, said wherever the word is explained.
SOURCES = {
    "live": "prices as they came from a venue or its feed",
    "replay": "recorded market data played again: real prices, but of the recorded time and not of this morning",
    "synthetic": "made-up prices: good for looking at the product, not at any market",
}
STATES = {
    "arrived": "has a bar of the day",
    "late": "its last bar is of an earlier day, and its figures are of that day",
    "missing": "has no daily bar at all",
    "failed": "a service answered with an error",
}

#: States that a reader has to know of, worst first.
LACKING = (model.SymbolState.FAILED, model.SymbolState.MISSING, model.SymbolState.LATE)


def source_word(source: str) -> str:
    """How a source is marked beside figures."""
    return source.upper()


def source_colour(source: str) -> str:
    """Name of its mark's colour; a source that is not known warns."""
    return source if source in SOURCES else "warn"


def source_meaning(source: str) -> str:
    """What the mark means."""
    return SOURCES.get(source, "a source that this report does not know")


def source_counts(report: model.DailyReportModel) -> list[tuple[str, int]]:
    """Where the figures come from (`live`, `replay`, `synthetic`), with how many symbols each, most first."""
    counts = Counter(item.source for item in report.symbols)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def headline(coverage: model.Coverage) -> str:
    """Coverage in one sentence."""
    if coverage.expected == 0:
        return "No symbol was expected: nothing was asked for and nothing was traded."
    if coverage.arrived == coverage.expected:
        return f"All {coverage.expected:,} expected symbols have a bar of the day."
    lacking = [f"{number:,} {word}" for number, word in ((coverage.late, "late"), (coverage.missing, "missing"), (coverage.failed, "failed")) if number]
    listed = " and ".join([", ".join(lacking[:-1]), lacking[-1]]) if len(lacking) > 1 else lacking[0]
    return f"{coverage.arrived:,} of {coverage.expected:,} expected symbols have a bar of the day; {listed}."


def silent(coverage: model.Coverage, source: str) -> str:
    """Why a service gave nothing; empty if it answered. Without this, what could not be asked would read like "there is none"."""
    return next((f"{row.name} gave nothing: {row.detail}" for row in coverage.sources if row.name == source and not row.ok), "")


def sources_sentence(counts: list[tuple[str, int]]) -> str:
    """Where the figures come from."""
    parts = [f"{number:,} {'symbol is' if number == 1 else 'symbols are'} {source_word(source)} ({source_meaning(source)})" for source, number in counts]
    return "; ".join(parts) + "." if parts else "There are no figures."


def day_was_chosen(meta: model.Meta) -> str:
    """How the report came to be of this day."""
    return "The day was asked for." if meta.date_was_asked else "The day is the newest for which most symbols have a bar."


def outcome(item: model.HorizonOutcome) -> str:
    """What such signals did, one horizon: the model's words, and what no signal would have hit."""
    if not item.is_enough or item.base_rate is None:
        return item.text
    return f"{item.text}; without a signal {formats.share(item.base_rate)}"


def sentiment_way(item: model.NewsItem) -> str:
    """How an article's sentiment is coloured: not at all where its label is neutral."""
    return "flat" if item.sentiment_label == "neutral" else formats.way(item.sentiment)


def own_is_too_few(signal: model.SignalReport) -> str:
    """Said where the outcomes of all symbols stand in for the symbol's own; otherwise empty."""
    if signal.outcomes is signal.own:
        return ""
    lacking = next((item for item in signal.own.horizons if not item.is_enough), None)
    return f"of this symbol alone: {lacking.text}" if lacking else ""


#: Hit rates are drawn on this scale: nearly all lie within it, and on one of 0 to 100 % all would look alike.
SCALE = (0.2, 0.8)


def on_scale(rate: float) -> float:
    """Place of a hit rate on SCALE, 0 to 1; what lies beyond is drawn at its end."""
    low, high = SCALE
    return min(max((rate - low) / (high - low), 0.0), 1.0)


def web_link(url: str) -> str:
    """The address if it is one of the web, otherwise nothing: an article's address comes from outside."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""


def sessions(count: int) -> str:
    """`1 session`, `5 sessions`."""
    return f"{count} session" if count == 1 else f"{count} sessions"


#: Said on paper only.
SHORTENED = "Long titles and reasons end in …, and letters that its font lacks are shown as \ufffd: the HTML has both whole."

#: The last page: what a word of the report means. One entry a line, in the order in which a reader meets them.
DEFINITIONS: tuple[tuple[str, str], ...] = (
    ("Expected", "every symbol of the request; without one, all that prices knows"),
    ("Change", "close against the close of the session before"),
    ("Gap", "open against the close of the session before"),
    ("Volume ratio", "the day's volume by the average of the 20 sessions before it, the day not included"),
    ("From 52-week high", "close against the highest price of the last 364 days; a series that is younger says so"),
    ("Record high", "highest price since the day named beside it: the first on record, or the one after a suspected split"),
    ("Suspected split", "an open that stands to the close before as one whole number to another; prices before it cannot be compared and are left out"),
    ("ATR 14", "average true range of 14 sessions, Wilder's: how far the price usually moves in a session"),
    ("RSI 14", "relative strength of 14 sessions, Wilder's, 0 to 100; over 70 is called overbought, under 30 oversold"),
    ("Bollinger bands", "the average of 20 closes, and two standard deviations over and under it"),
    ("MACD 12 26 9", "difference of two exponential averages of closes, its average of 9, and the difference of both as bars"),
    ("Breadth", "how many symbols rose and fell, of those with a bar of the day"),
    (
        "What such signals did",
        "how often, so many sessions after an earlier signal of the type, the close had moved the way the signal points; "
        "the picture goes from 20 to 80%: a dot, Wilson's interval at 95% around it, and an upright stroke at what all sessions of the same symbols hit "
        "without any signal. "
        f"With fewer than {model.MIN_SAMPLE} earlier signals nothing is said but how many there were. "
        "Outcomes overlap and symbols move together, so the true uncertainty is larger than the interval",
    ),
    ("News", "articles received by the time of recording; a sentiment is a scorer's guess from −1 to 1, not advice"),
)
