"""Articles of different sources about one event, grouped as they come: each joins the story it is most like, or begins one.

Only titles are compared. A story is the sum of its titles' words, each weighted by how rare it is; the likeness of a title and a story is the cosine of
the two, times n / (n + 1) for a story of n titles, because one title is little to go by. A story of one or two titles must share two words with the new one.
What only one publisher tells takes a title of the same publisher only if it is almost the same: press releases of one house are alike and about different
things. Weights are whole numbers, so that what was added can be taken away again to the last bit, and the answer depends on the order of the articles
alone. Figures and the alternatives: ADR 0010.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.news.domain import Article
from services.news.words import topic_words

_HOUR_NS = 3_600 * 10**9
#: A story ends when nothing was added to it for this long.
WINDOW_NS = 48 * _HOUR_NS
#: Likeness from which a title joins a story; chosen on the tuning half of the headlines (ADR 0010).
JOIN_AT = 0.12
#: Cosine from which a title is almost the same as what its own publisher told before.
_SAME_AT = 0.8
#: Stories of fewer titles must share _SHARED words with a title that joins.
_FEW_TITLES, _SHARED = 3, 2
#: A story is about the words that are in this part of its titles, and so many times as often as in all titles.
_SUBJECT_IN, _LIFT = 0.2, 4.0
#: Titles that are supposed to have been seen before the first one, so that no word counts as common just because few titles are known.
_BEFORE = 10_000
#: Weights are kept as whole numbers of 1/64.
_UNIT = 64
#: Stories that are open at most; what one takes is in the README.
MAX_OPEN = 50_000
#: Titles that a story takes at most; the largest of the set that was measured has 317. Beyond it the same words begin another.
MAX_TITLES = 500


@dataclass(slots=True)
class _Story:
    last_ns: int
    squared: int = 0
    """Square of the length of the sum of its titles."""
    words: dict[str, int] = field(default_factory=dict)
    """Titles that have the word."""
    members: list[str] = field(default_factory=list)
    """Ids of its articles."""
    publishers: dict[str, int] = field(default_factory=dict)
    """Titles by publisher; empty for those whose feed does not tell it, who may be anybody."""


@dataclass(slots=True, frozen=True)
class _Added:
    """What is needed to take an article away again."""

    story_id: str
    story: _Story
    publisher: str
    weights: dict[str, int]
    last_ns: int
    """Of the story, before."""


@dataclass(slots=True, frozen=True)
class _Closed:
    """What is needed to open a story again."""

    story_id: str
    story: _Story
    weights: dict[str, int]
    """Of its words, in its sum."""


_Change = _Added | _Closed


class StoryBook:
    """The stories that are open. Not safe for use from several threads.

    window_ns: see WINDOW_NS. join_at: 0 to 1. max_open: the stories that nothing was added to for longest go first.
    """

    def __init__(self, *, window_ns: int = WINDOW_NS, join_at: float = JOIN_AT, max_open: int = MAX_OPEN) -> None:
        self._window_ns, self._join_at, self._max_open = window_ns, join_at, max_open
        self._open: dict[str, _Story] = {}
        self._last: list[tuple[int, str]] = []
        """Heap of the times at which stories were added to, with entries that no longer hold."""
        self._sums: dict[str, dict[str, int]] = {}
        """Word -> story -> weight of the word in the story's sum."""
        self._titles_with: dict[str, int] = {}
        self._titles = 0
        self._story_of: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def assign(self, articles: Sequence[Article]) -> list[str]:
        """The story of each article, each knowing of those before it. Nothing is remembered."""
        with self._tentatively() as changes:
            return [self._assign(article, changes) for article in articles]

    def remember(self, article: Article) -> None:
        """Takes note of an article with the story that it was published with. A revision of a known article adds no words."""
        self._make_room(article.received_ns)
        if article.id not in self._story_of:
            self._add(article, article.story_id, topic_words(article.title))

    def _assign(self, article: Article, changes: list[_Change]) -> str:
        changes += self._make_room(article.received_ns)
        known = self._story_of.get(article.id)
        if known is not None:
            return known
        words = topic_words(article.title)
        story_id = self._most_like(words, article.publisher) or article.id
        changes.append(self._add(article, story_id, words))
        return story_id

    @contextmanager
    def _tentatively(self) -> Iterator[list[_Change]]:
        changes: list[_Change] = []
        try:
            yield changes
        finally:
            for change in reversed(changes):
                if isinstance(change, _Added):
                    self._take_away(change)
                else:
                    self._open_again(change)

    def _most_like(self, words: frozenset[str], publisher: str) -> str | None:
        weights = {word: self._weight(word, 1) for word in words}
        dots: dict[str, int] = {}
        shared: dict[str, int] = {}
        for word, weight in weights.items():
            for story_id, total in self._sums.get(word, {}).items():
                dots[story_id] = dots.get(story_id, 0) + weight * total
                shared[story_id] = shared.get(story_id, 0) + 1
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        likely = ((self._likeness(self._open[story_id], dot / length, shared[story_id], publisher), story_id) for story_id, dot in dots.items())
        # Of equally like stories the one whose id is last, so that the order of a set cannot matter.
        for _, story_id in sorted((each for each in likely if each[0] >= self._join_at), reverse=True):
            if self._shares_subject(words, self._open[story_id]):
                return story_id
        return None

    def _shares_subject(self, words: frozenset[str], story: _Story) -> bool:
        """Whether a shared word is what the story is about: in many of its titles, and far more often than elsewhere.

        Without this a large story draws in everything that has the usual words of such news, and grows until nothing else is left.
        """
        titles = len(story.members)
        if titles < _FEW_TITLES:
            return True
        usual = _LIFT / (self._titles + _BEFORE)
        return any(count >= titles * max(_SUBJECT_IN, usual * self._titles_with[word]) for word in words if (count := story.words.get(word, 0)))

    @staticmethod
    def _likeness(story: _Story, dot: float, shared: int, publisher: str) -> float:
        """dot: of the title's unit vector and the story's sum. shared: words that both have."""
        titles = len(story.members)
        cosine = dot / math.sqrt(story.squared)
        if titles >= MAX_TITLES:
            return 0.0
        if publisher and story.publishers.keys() == {publisher}:
            return cosine if cosine >= _SAME_AT else 0.0
        return cosine * titles / (titles + 1) if titles >= _FEW_TITLES or shared >= _SHARED else 0.0

    def _weight(self, word: str, more: int = 0) -> int:
        """How rare a word is. more: titles that come on top of those that are known, all with the word."""
        return round(_UNIT * math.log((self._titles + more + _BEFORE) / (self._titles_with.get(word, 0) + more)))

    def _add(self, article: Article, story_id: str, words: frozenset[str]) -> _Added:
        self._titles += 1
        for word in words:
            self._titles_with[word] = self._titles_with.get(word, 0) + 1
        story = self._open.setdefault(story_id, _Story(article.received_ns))
        entry = _Added(story_id, story, article.publisher, {word: self._weight(word) for word in words}, story.last_ns)
        for word, weight in entry.weights.items():
            sums = self._sums.setdefault(word, {})
            old = sums.get(story_id, 0)
            sums[story_id] = old + weight
            story.squared += weight * (2 * old + weight)
            story.words[word] = story.words.get(word, 0) + 1
        story.members.append(article.id)
        story.publishers[article.publisher] = story.publishers.get(article.publisher, 0) + 1
        self._story_of[article.id] = story_id
        self._touch(story_id, story, max(story.last_ns, article.received_ns))
        return entry

    def _take_away(self, entry: _Added) -> None:
        """The exact opposite of `_add`, in the opposite order."""
        story_id, story = entry.story_id, entry.story
        del self._story_of[story.members.pop()]
        self._titles -= 1
        story.publishers[entry.publisher] -= 1
        if not story.publishers[entry.publisher]:
            del story.publishers[entry.publisher]
        for word, weight in entry.weights.items():
            self._sums[word][story_id] -= weight
            story.squared -= weight * (2 * self._sums[word][story_id] + weight)
            story.words[word] -= 1
            self._uncount(word, 1)
            if not story.words[word]:
                del story.words[word]
                self._drop_sum(word, story_id)
        if story.members:
            self._touch(story_id, story, entry.last_ns)
        else:
            del self._open[story_id]

    def _touch(self, story_id: str, story: _Story, last_ns: int) -> None:
        story.last_ns = last_ns
        heapq.heappush(self._last, (last_ns, story_id))

    def _make_room(self, now_ns: int) -> list[_Closed]:
        """Closes the stories that are over at this time, and those that are too many."""
        closed = []
        while self._last and (self._last[0][0] < now_ns - self._window_ns or len(self._open) > self._max_open):
            last_ns, story_id = heapq.heappop(self._last)
            story = self._open.get(story_id)
            if story is not None and story.last_ns == last_ns:
                closed.append(self._close(story_id, story))
        return closed

    def _close(self, story_id: str, story: _Story) -> _Closed:
        del self._open[story_id]
        closed = _Closed(story_id, story, {word: self._sums[word][story_id] for word in story.words})
        for word, count in story.words.items():
            self._uncount(word, count)
            self._drop_sum(word, story_id)
        self._titles -= len(story.members)
        for article_id in story.members:
            del self._story_of[article_id]
        return closed

    def _open_again(self, closed: _Closed) -> None:
        """The exact opposite of `_close`."""
        story_id, story = closed.story_id, closed.story
        self._open[story_id] = story
        for word, count in story.words.items():
            self._titles_with[word] = self._titles_with.get(word, 0) + count
            self._sums.setdefault(word, {})[story_id] = closed.weights[word]
        self._titles += len(story.members)
        self._story_of.update(dict.fromkeys(story.members, story_id))
        self._touch(story_id, story, story.last_ns)

    def _uncount(self, word: str, titles: int) -> None:
        self._titles_with[word] -= titles
        if not self._titles_with[word]:
            del self._titles_with[word]

    def _drop_sum(self, word: str, story_id: str) -> None:
        del self._sums[word][story_id]
        if not self._sums[word]:
            del self._sums[word]
