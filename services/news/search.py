"""Full text over titles and summaries: a tantivy index in memory, filled from the topic."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import tantivy

from services.news.book import ArticleBook, Known, Place, View
from services.news.view_metrics import SEARCH_SECONDS
from services.runtime.errors import InvalidArgument

#: The best so many are answered, over all pages.
MAX_HITS = 1_000
#: A word in a title weighs so much more than one in a summary.
_TITLE_BOOST = 2.0
#: What the writer may hold before it must write a segment; 15 MB is tantivy's least.
_WRITER_BYTES = 30_000_000
#: Answers whose further pages may be asked for; each takes at most 100 KiB.
_ANSWERS_KEPT = 64
_TEXT_FIELDS = ["title", "summary"]
_STEMMED = "en_stem"


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that was found."""

    known: Known
    score: float
    """BM25."""
    position: int
    """In the whole answer, from 0."""


class SearchIndex:
    """Written by a reader's thread, asked from others. What was added is found by every search after it."""

    def __init__(self, book: ArticleBook) -> None:
        self._book = book
        self._schema = _schema()
        self._index = tantivy.Index(self._schema)
        self._writer = self._index.writer(_WRITER_BYTES, 1)
        self._lock = threading.Lock()
        self._is_dirty = False
        self._answers: OrderedDict[tuple[str, View], list[tuple[Place, float]]] = OrderedDict()

    def add(self, known: Known) -> None:
        """Adds a revision."""
        document = tantivy.Document()
        document.add_text("title", known.article.title)
        document.add_text("summary", known.article.summary)
        document.add_integer("received_ns", known.article.received_ns)
        document.add_integer("record", known.offset)
        with self._lock:
            self._writer.add_document(document)
            self._is_dirty = True

    def forget(self, gone: Sequence[Known]) -> None:
        """Takes revisions away."""
        with self._lock:
            for known in gone:
                self._writer.delete_documents_by_term("record", known.offset)
            self._is_dirty = True

    def documents(self) -> int:
        """How many revisions can be found."""
        with self._lock:
            return int(self._searcher().num_docs)

    def search(self, query: str, view: View, start: int, limit: int) -> tuple[list[Hit], int]:
        """Articles in their newest revision of that moment, best first, at most `limit` from position `start` on; and how many there are in all.

        Of one view all pages come from one answer. Raises InvalidArgument for a query that cannot be read, with what is wrong.
        """
        found = self._answer(query, view)
        page = enumerate(found[start : start + limit], start)
        return [Hit(known, score, position) for position, (place, score) in page if (known := self._book.at(place)) is not None], len(found)

    def _answer(self, query: str, view: View) -> list[tuple[Place, float]]:
        with self._lock:
            kept = self._answers.get((query, view))
            if kept is not None:
                return kept
        found = self._current(self._ask(query, view), view)
        with self._lock:
            self._answers[query, view] = found
            if len(self._answers) > _ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return found

    def _current(self, found: Sequence[tuple[Place, float]], view: View) -> list[tuple[Place, float]]:
        """Without revisions that a newer one had replaced by then. The lock is not held here: the book has its own, and holds it when it forgets."""
        known = ((place, score, self._book.at(place)) for place, score in found)
        current = [(place, score) for place, score, each in known if each is not None and self._book.is_current(each, view)]
        # Equal scores: the newest first, so that the order is the same each time.
        return sorted(current, key=lambda hit: (-hit[1], -hit[0][0], -hit[0][1]))[:MAX_HITS]

    def _ask(self, query: str, view: View) -> list[tuple[Place, float]]:
        with SEARCH_SECONDS.time(), self._lock:
            searcher = self._searcher()
            # Twice as many, for some of them were replaced by then.
            hits = searcher.search(self._query(query, view), 2 * MAX_HITS, count=False).hits
            addresses = [address for _, address in hits]
            received, records = (searcher.fast_field_values(field, addresses) for field in ("received_ns", "record"))
        return [((int(at or 0), int(record or 0)), float(score)) for (score, _), at, record in zip(hits, received, records, strict=True)]

    def _query(self, query: str, view: View) -> tantivy.Query:
        try:
            words = self._index.parse_query(query, _TEXT_FIELDS, field_boosts={"title": _TITLE_BOOST})
        except ValueError as error:
            raise InvalidArgument("query", query, f'words, "phrases", title:word, -word ({error})') from error
        known = [self._up_to("received_ns", view.as_of_ns), self._up_to("record", view.until_offset - 1)]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, words), *((tantivy.Occur.Must, part) for part in known)])

    def _up_to(self, field: str, highest: int) -> tantivy.Query:
        within = tantivy.Query.range_query(self._schema, field, tantivy.FieldType.Integer, None, highest)
        return tantivy.Query.const_score_query(within, 0.0)

    def _searcher(self) -> tantivy.Searcher:
        """Of everything that was added: a commit takes milliseconds, so it waits until somebody asks."""
        if self._is_dirty:
            self._writer.commit()
            self._index.reload()
            self._is_dirty = False
        return self._index.searcher()


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for field in _TEXT_FIELDS:
        builder.add_text_field(field, tokenizer_name=_STEMMED)
    for field in ("received_ns", "record"):
        builder.add_integer_field(field, indexed=True, fast=True)
    return builder.build()
