"""Grouping and scoring on the labelled sets: on the half that nothing was chosen on, beside the references; and that the measures measure."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from services.news.links import Linker
from services.news.sentiment.scorer import Scorer
from tests import news_quality as quality


def folder() -> Path:
    found = quality.data_folder()
    assert found is not None, "SIGNALBOX_DATA names no folder with the news sets"
    return found


def test_the_measure_of_groups() -> None:
    items = [quality.Headline(str(number), story) for number, story in enumerate("aaabb")]
    found = quality.grouping(items, [1, 1, 2, 2, 2])
    assert (found.precision, found.recall) == (2 / 4, 2 / 4)
    assert found.b_cubed_precision == pytest.approx((1 + 1 + 1 / 3 + 2 / 3 + 2 / 3) / 5)
    assert found.b_cubed_recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert quality.grouping(items, list("aaabb")) == quality.Grouping(1.0, 1.0, 1.0, 1.0)


def test_the_measure_of_labels() -> None:
    items = [quality.Sentence(text, label, 100) for text, label in [("1", "positive"), ("2", "positive"), ("3", "neutral"), ("4", "negative")]]
    found = quality.labelling(items, lambda text: "neutral" if text in "23" else "positive")
    assert found.accuracy == 0.5
    assert found.macro_f1 == pytest.approx((0.5 + 2 / 3 + 0) / 3)


@pytest.mark.data
def test_stories_on_the_reporting_half() -> None:
    items = quality.headlines(folder(), 1)
    found, reference = quality.grouping(items, quality.grouped(items)), quality.grouping(items, quality.same_title(items))
    assert found.precision > 0.8
    assert found.recall > 0.6
    assert found.recall > 10 * reference.recall


@pytest.mark.data
def test_small_stories_side_by_side_on_the_reporting_half() -> None:
    items = quality.thinned(quality.headlines(folder(), 1), 10)
    found = quality.grouping(items, quality.grouped(items))
    assert found.b_cubed_precision > 0.8
    assert found.b_cubed_recall > 0.5


@pytest.mark.data
@pytest.mark.parametrize("agreement", [50, 100])
def test_the_scorer_is_better_than_vader_and_than_the_commonest_label(agreement: int) -> None:
    items = quality.sentences(folder(), 1, agreement)
    scorer, vader = Scorer(), quality.vader()
    ours = quality.labelling(items, lambda text: scorer.score(text).label)
    theirs = quality.labelling(items, lambda text: quality.vader_label(vader(text)))
    commonest = quality.labelling(items, lambda _: "neutral")
    assert ours.accuracy > max(theirs.accuracy, commonest.accuracy) + 0.1
    assert ours.macro_f1 > max(theirs.macro_f1, commonest.macro_f1) + 0.1


@pytest.mark.data
def test_scores_go_with_those_of_people() -> None:
    items = quality.scored_headlines(folder(), 1)
    scorer, vader = Scorer(), quality.vader()
    true = [score for _, score in items]
    assert (
        statistics.correlation([scorer.score(title).score for title, _ in items], true)
        > statistics.correlation([vader(title) for title, _ in items], true) + 0.1
    )


@pytest.mark.data
def test_real_headlines_link_to_the_companies_they_name() -> None:
    """Every mention stands in its headline with its capitals, and common words are not taken for companies."""
    linker = Linker.from_file()
    found = [(item.title, link) for half in (0, 1) for item in quality.headlines(folder(), half) for link in linker.link(item.title, "")]
    assert len(found) > 100
    assert all(link.mention in title and not link.mention[0].islower() for title, link in found if link.mention != "eBay")
