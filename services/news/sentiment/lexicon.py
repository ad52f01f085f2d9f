"""The lexicon of the scorer: words of finance by what they say, read from YAML and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

LEXICON = Path(__file__).with_name("lexicon.yaml")


class Says(StrEnum):
    """What a word says."""

    GOOD_THING = "good"
    BAD_THING = "bad"
    UP = "up"
    DOWN = "down"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    NEGATION = "negation"


class _Phrases(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: list[str]
    negative: list[str]
    neutral: list[str]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    good: list[str]
    bad: list[str]
    up: list[str]
    down: list[str]
    positive: list[str]
    negative: list[str]
    phrases: _Phrases
    negations: list[str]


_NOTHING: frozenset[Says] = frozenset()


class Lexicon:
    """Looks words and phrases up. A word may say several things: a `decline` is a movement and a bad thing."""

    def __init__(self, content: _File) -> None:
        self._exact: dict[str, set[Says]] = {}
        self._prefixes: dict[str, set[Says]] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], Says]]] = {}
        self._seen: dict[str, frozenset[Says]] = {}
        for says, words in _groups(content):
            for word in words:
                self._add(word, says)
        for phrases in self._phrases.values():
            phrases.sort(key=lambda entry: -len(entry[0]))

    @classmethod
    def from_file(cls, path: Path = LEXICON) -> Lexicon:
        """Reads a lexicon. Raises ValueError (pydantic's) for one that cannot be used."""
        return cls(_File.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)))

    def word(self, word: str) -> frozenset[Says]:
        """What a word says by itself, lower case."""
        found = self._seen.get(word)
        if found is None:
            found = frozenset(self._exact.get(word, ())) | self._by_prefix(word)
            if len(self._seen) < 50_000:  # A few MiB; beyond that words are rare ones.
                self._seen[word] = found
        return found

    def phrase(self, words: Sequence[str], at: int) -> tuple[int, Says] | None:
        """The longest phrase that begins at a word: how many words it has and what it says."""
        for phrase, says in self._phrases.get(words[at], ()):
            if all(_fits(expected, words[at + place]) for place, expected in enumerate(phrase)) if at + len(phrase) <= len(words) else False:
                return len(phrase), says
        return None

    def _by_prefix(self, word: str) -> frozenset[Says]:
        return frozenset(says for end in range(2, len(word) + 1) for says in self._prefixes.get(word[:end], ()))

    def _add(self, text: str, says: Says) -> None:
        words = tuple(text.split())
        if len(words) > 1:
            self._phrases.setdefault(words[0], []).append((words, says))
        elif text.endswith("*"):
            self._prefixes.setdefault(text[:-1], set()).add(says)
        else:
            self._exact.setdefault(text, set()).add(says)


def _groups(content: _File) -> Iterable[tuple[Says, Iterable[str]]]:
    groups: Mapping[Says, list[str]] = {
        Says.GOOD_THING: content.good,
        Says.BAD_THING: content.bad,
        Says.UP: content.up,
        Says.DOWN: content.down,
        Says.POSITIVE: [*content.positive, *content.phrases.positive],
        Says.NEGATIVE: [*content.negative, *content.phrases.negative],
        Says.NEUTRAL: content.phrases.neutral,
        Says.NEGATION: content.negations,
    }
    return groups.items()


def _fits(expected: str, word: str) -> bool:
    return word.startswith(expected[:-1]) if expected.endswith("*") else word == expected
