"""How good grouping and scoring are, on labelled sets that stay outside the repository; each cut into a half to choose on and a half to report on."""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.news.domain import Article
from services.news.stories import StoryBook

LABELS = ("negative", "neutral", "positive")
_SECOND_NS = 10**9


def data_folder() -> Path | None:
    """The folder with the news sets, if SIGNALBOX_DATA names one that has them."""
    folder = Path(os.environ.get("SIGNALBOX_DATA") or "/nonexistent") / "news"
    return folder if folder.is_dir() else None


def half_of(text: str) -> int:
    """0: to choose on; 1: to report on."""
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] & 1


@dataclass(frozen=True, slots=True)
class Headline:
    """One headline, the story that it belongs to, and who told it."""

    title: str
    story: str
    publisher: str = ""


def headlines(folder: Path, half: int) -> list[Headline]:
    """Those of the stories of one half, in the order of their times."""
    with gzip.open(folder / "headlines" / "uci_news_aggregator_2014-03.csv.gz", "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (int(row["ts_ms"]), int(row["id"])))
    return [Headline(row["title"], row["story"], row["publisher"]) for row in rows if half_of(row["story"]) == half]


def thinned(items: Sequence[Headline], most: int) -> list[Headline]:
    """At most so many headlines of each story, mixed: stories as small and as many at once as feeds bring them."""
    taken: Counter[str] = Counter()
    found = []
    for item in sorted(items, key=lambda item: hashlib.blake2b(item.title.encode()).digest()):
        if taken[item.story] < most:
            taken[item.story] += 1
            found.append(item)
    return found


def articles(items: Sequence[Headline]) -> list[Article]:
    """One article a second."""
    return [Article(f"h{at:06d}", 0, "feed", item.publisher, "", item.title, "", at * _SECOND_NS) for at, item in enumerate(items)]


def grouped(items: Sequence[Headline]) -> list[str]:
    """The story of each, found one by one as the worker finds them."""
    book, stories = StoryBook(), []
    for article in articles(items):
        (story,) = book.assign([article])
        book.remember(replace(article, story_id=story))
        stories.append(story)
    return stories


def same_title(items: Sequence[Headline]) -> list[str]:
    """The reference: only the same title is the same story."""
    return [item.title.casefold() for item in items]


@dataclass(frozen=True, slots=True)
class Grouping:
    """How found groups fit the true ones, 0 to 1."""

    precision: float
    """Of the pairs that were put together, those that belong together."""
    recall: float
    """Of the pairs that belong together, those that were put together."""
    b_cubed_precision: float
    """Mean over headlines of the part of their group that is of their story."""
    b_cubed_recall: float
    """Mean over headlines of the part of their story that is in their group."""


def grouping(items: Sequence[Headline], found: Sequence[Hashable]) -> Grouping:
    """Compares."""
    both = Counter(zip([item.story for item in items], found, strict=True))
    true, groups = Counter(item.story for item in items), Counter(found)
    together = sum(math.comb(count, 2) for count in both.values())
    return Grouping(
        precision=together / max(1, sum(math.comb(count, 2) for count in groups.values())),
        recall=together / max(1, sum(math.comb(count, 2) for count in true.values())),
        b_cubed_precision=sum(count * count / groups[group] for (_, group), count in both.items()) / len(items),
        b_cubed_recall=sum(count * count / true[story] for (story, _), count in both.items()) / len(items),
    )


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with its label."""

    text: str
    label: str
    agreement: int
    """Part of the annotators, percent, that agree on it at least."""


def sentences(folder: Path, half: int, agreement: int = 0) -> list[Sentence]:
    """Of financial_phrasebank."""
    with gzip.open(folder / "sentiment" / "financial_phrasebank.csv.gz", "rt", encoding="utf-8") as file:
        every = [Sentence(row["sentence"], row["label"], int(row["agreement_pct"])) for row in csv.DictReader(file)]
    return [each for each in every if half_of(each.text) == half and each.agreement >= agreement]


def scored_headlines(folder: Path, half: int) -> list[tuple[str, float]]:
    """Of semeval2017_task5: headline and score, -1 to 1."""
    with (folder / "sentiment" / "semeval2017_task5_headlines.csv").open(encoding="utf-8", newline="") as file:
        return [(row["title"], float(row["sentiment"])) for row in csv.DictReader(file) if half_of(row["title"]) == half]


@dataclass(frozen=True, slots=True)
class Labelling:
    """How given labels fit the true ones, 0 to 1."""

    accuracy: float
    macro_f1: float
    """Mean of the three labels' F1."""


def labelling(items: Sequence[Sentence], label: Callable[[str], str]) -> Labelling:
    """Compares. label: gives the label of a text."""
    given = [label(item.text) for item in items]
    pairs = Counter(zip([item.label for item in items], given, strict=True))
    counts = [(pairs[name, name], sum(item.label == name for item in items), given.count(name)) for name in LABELS]
    f1 = [2 * right / (true + said) if true + said else 0.0 for right, true, said in counts]
    return Labelling(sum(right for right, _, _ in counts) / len(items), sum(f1) / len(f1))


def vader() -> Callable[[str], float]:
    """The reference's score of a text, -1 to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(text)["compound"])


def vader_label(score: float) -> str:
    """By the bounds that VADER's authors give."""
    return "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"
