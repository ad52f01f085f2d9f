"""How an article sounds: direction, what moved, negation, amounts; and that the lexicon does not change unnoticed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.sentiment.lexicon import LEXICON
from services.news.sentiment.scorer import SCORER, Scorer

S = Scorer()

SENTENCES = [
    ("Profit fell to 5 million", "negative"),
    ("Profit rose to 5 million", "positive"),
    ("Net loss narrowed in the quarter", "positive"),
    ("Net losses widened in the quarter", "negative"),
    ("Unemployment rises in Spain", "negative"),
    ("Costs fell by a tenth", "positive"),
    ("The company cut its forecast", "negative"),
    ("Acme beats estimates", "positive"),
    ("Acme misses estimates", "negative"),
    ("Acme raises guidance", "positive"),
    ("Broker downgrades Acme", "negative"),
    ("Broker upgrades Acme", "positive"),
    ("Acme did not beat estimates", "negative"),
    ("Sales did not grow", "negative"),
    ("Operating profit was EUR 13.1 mn compared to EUR 8.7 mn a year earlier", "positive"),
    ("Operating profit was EUR 8.7 mn compared to EUR 13.1 mn a year earlier", "negative"),
    ("Operating loss was EUR 8.7 mn compared to EUR 13.1 mn in 2007", "positive"),
    ("Acme swung to a profit", "positive"),
    ("Acme swung to a loss", "negative"),
    ("Acme to cut jobs in Lyon", "negative"),
    ("The company has its head office in Lyon", "neutral"),
    ("Acme publishes its annual report", "neutral"),
    ("The company is listed on the stock exchange", "neutral"),
    ("", "neutral"),
]


@pytest.mark.parametrize(("text", "label"), SENTENCES)
def test_label(text: str, label: str) -> None:
    assert S.score(text).label == label


def test_a_movement_in_another_clause_moves_nothing_here() -> None:
    assert S.score("Profit rose; costs were the topic").label == "positive"
    assert S.score("Sales fell while the weather changed").label == "negative"


def test_the_summary_counts_half() -> None:
    title, summary = S.score("Profit rose").score, S.score("", "Profit rose").score
    assert 0 < summary < title
    assert S.score("Profit rose", "Sales fell").score > 0


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_text_has_a_score_between_minus_one_and_one(title: str, summary: str) -> None:
    first = S.score(title, summary)
    assert -1 <= first.score <= 1
    assert S.score(title, summary) == first
    assert (first.label == "positive") == (first.score >= 0.3)
    assert (first.label == "negative") == (first.score <= -0.3)


def test_the_version_goes_with_the_lexicon() -> None:
    """A change of the lexicon changes scores: then the version changes too, and this digest."""
    digest = hashlib.blake2b(LEXICON.read_bytes(), digest_size=8).hexdigest()
    assert (SCORER, digest) == ("signalbox-finance/1", "3ff33a79395dc263")
