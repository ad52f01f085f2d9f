"""The words of a headline that say what it is about."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
#: Words that stand in headlines of every kind.
_COMMON = frozenset(
    """a about after all also amid an and are as at back be been before but by can could day did do does down for from get gets had has have he her here his
    how i if in into is it its just more most new no not now of off on one or our out over report reports said say says set she should so some than that the
    their them they this to top two under up update us was watch we week were what when where which who why will with would year years you your
    today tomorrow yesterday monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october
    november december inc incorporated corp corporation co company companies ltd plc llc lp nv sa group holdings stock stocks share shares buy
    8-k 10-k 10-q filer""".split()  # noqa: SIM905 - so many words read better as text than as a list
)
#: Endings that do not change what a word is about, longest first; at least four letters stay.
_ENDINGS = ("ing", "ed", "er", "ly", "es", "s")
_STEM_LEFT = 4


def topic_words(title: str) -> frozenset[str]:
    """Distinct words, lower case, without endings; without numbers and words that say nothing. Empty when there are none."""
    found = (_POSSESSIVE.sub("", word) for word in _WORD.findall(title.lower()))
    return frozenset(_stem(word) for word in found if word and word not in _COMMON and not word.isdigit())


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_LEFT and not word.endswith("ss"):
            return word[: -len(ending)]
    return word
