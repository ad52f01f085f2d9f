"""The scorer: what the words of finance in a text say, by rules (README: "How an article sounds").

Each clause is read by itself. A movement ("rose", "cut") counts by what moved: profit up is good, a loss narrowed is good, unemployment up is bad. A word that
is good or bad by itself counts as such. A negation turns what follows within three words around. Two amounts with "from" or "compared with" between them
count as a movement. The sum of all of it, s, gives the score s / sqrt(s² + 2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.news.sentiment.lexicon import Lexicon, Says

#: Name and version; changes whenever the score of any text changes.
SCORER = "signalbox-finance/1"

#: From this score on a text is positive, below its negative it is negative; chosen on the tuning half (ADR 0010).
LABEL_AT = 0.30
#: A title says what an article is about; its summary counts half.
_SUMMARY_WEIGHT = 0.5
#: How a sum becomes a score between -1 and 1; one plain statement gives 0.58.
_SATURATION = 2.0
#: Words between a movement and what moves.
_REACH = 6
#: Words that a negation reaches.
_NEGATION_REACH = 3
#: What a movement of nothing known counts, beside 1 for one of profit.
_BARE_MOVEMENT = 0.5

_TOKEN = re.compile(r"\d[\d.,]*\d|\d|[^\W\d_]+(?:['’\-&.][^\W_]+)*|[,;:.!?()]|%")
_NUMBER = re.compile(r"\d")
#: Where a clause ends: a movement there has nothing to do with a thing here.
_CLAUSE_ENDS = frozenset({";", ".", "!", "?", ":", "while", "but", "whereas", "although", "though"})
_COMPARED = frozenset({"from", "compared", "versus", "vs", "against"})

_MOVES = frozenset({Says.UP, Says.DOWN})


@dataclass(frozen=True, slots=True)
class Sentiment:
    """How a text sounds."""

    score: float
    """-1 (bad) to 1 (good)."""
    label: str
    """`negative`, `neutral`, `positive`."""


class Scorer:
    """Scores texts by a lexicon. Deterministic, without state."""

    def __init__(self, lexicon: Lexicon | None = None, *, label_at: float = LABEL_AT) -> None:
        self._lexicon = lexicon or Lexicon.from_file()
        self._label_at = label_at

    def score(self, title: str, summary: str = "") -> Sentiment:
        """How an article sounds."""
        total = self._sum(title)
        if summary:
            total += _SUMMARY_WEIGHT * self._sum(summary)
        score = round(total / math.sqrt(total * total + _SATURATION), 4)
        return Sentiment(score, "positive" if score >= self._label_at else "negative" if score <= -self._label_at else "neutral")

    def _sum(self, text: str) -> float:
        return sum(self._clause(clause) for clause in _clauses(text))

    def _clause(self, words: Sequence[str]) -> float:
        said = self._read(words)
        taken: set[int] = set()
        total = 0.0
        for at, says in enumerate(said):
            if says & _MOVES:
                total += self._turn(said, at) * _movement(said, at, taken)
        for at, says in enumerate(said):
            if at not in taken:
                total += self._turn(said, at) * ((Says.POSITIVE in says) - (Says.NEGATIVE in says))
        return total or _compared_amounts(words, said)

    def _read(self, words: Sequence[str]) -> list[frozenset[Says]]:
        """What each word says; a phrase speaks at its first word, and its others are silent."""
        said: list[frozenset[Says]] = []
        at = 0
        while at < len(words):
            phrase = self._lexicon.phrase(words, at)
            length, says = (1, self._lexicon.word(words[at])) if phrase is None else (phrase[0], frozenset({phrase[1]}))
            said += [says, *[frozenset[Says]()] * (length - 1)]
            at += length
        return said

    def _turn(self, said: Sequence[frozenset[Says]], at: int) -> int:
        return -1 if any(Says.NEGATION in says for says in said[max(0, at - _NEGATION_REACH) : at]) else 1


def _clauses(text: str) -> Iterator[list[str]]:
    clause: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match[0].lower().replace("’", "'")
        if word in _CLAUSE_ENDS:
            if clause:
                yield clause
            clause = []
        else:
            clause.append(word)
    if clause:
        yield clause


def _movement(said: Sequence[frozenset[Says]], at: int, taken: set[int]) -> float:
    """What a movement counts, by the nearest thing that can move; both are taken, so that they do not count again."""
    taken.add(at)
    direction = 1 if Says.UP in said[at] else -1
    for distance in range(1, _REACH + 1):
        for place in (at - distance, at + distance):
            if 0 <= place < len(said):
                is_good, is_bad = Says.GOOD_THING in said[place], Says.BAD_THING in said[place]
                if is_good or is_bad:
                    taken.add(place)
                    return direction * (-1 if is_bad else 1)
    return direction * _BARE_MOVEMENT


def _compared_amounts(words: Sequence[str], said: Sequence[frozenset[Says]]) -> float:
    """`profit was 13.1 mn compared to 8.7 mn`: up or down by the first amounts on both sides; 0 when there are none, or nothing that they could be of."""
    at = next((place for place, word in enumerate(words) if word in _COMPARED), None)
    if at is None:
        return 0.0
    sign = next((-1 if Says.BAD_THING in says else 1 for says in said[:at] if says & {Says.GOOD_THING, Says.BAD_THING}), 0)
    now, before = _amount(words[:at]), _amount(words[at:])
    if not sign or now is None or before is None or now == before:
        return 0.0
    return float(sign if now > before else -sign)


def _amount(words: Sequence[str]) -> float | None:
    """The first number that is not a year."""
    for word in words:
        if _NUMBER.match(word):
            value = float(word.replace(",", "").rstrip(".") if word.count(".") <= 1 else word.replace(".", "").replace(",", ""))
            if not (1980 <= value <= 2100 and value.is_integer()):
                return value
    return None
