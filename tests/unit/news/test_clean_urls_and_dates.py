"""One form for each URL; dates with their zones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.canonical import TRACKING, article_id, canonical_url, content_hash
from services.news.dates import PublishedAt, read_date

_NS = 10**9


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://www.fool.com/investing/2025/07/26/x/?.tsrc=rss", "https://www.fool.com/investing/2025/07/26/x/"),
        ("HTTPS://Example.COM:443/a%2fb?b=2&a=1&utm_source=x&UTM_Medium=y#part", "https://example.com/a%2Fb?a=1&b=2"),
        ("http://example.com:80", "http://example.com/"),
        ("http://example.com:8080/x?fbclid=1", "http://example.com:8080/x"),
        ("https://user:secret@example.com/x", "https://example.com/x"),
        ("  https://example.com/a\n  b ", "https://example.com/ab"),
        ("/news/1", "https://feed.example/news/1"),
        ("//other.example/1", "https://other.example/1"),
        ("https://example.com/?q=caf\u00e9", "https://example.com/?q=caf%C3%A9"),
        ("https://example.com/?empty=&x", "https://example.com/?empty=&x="),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("mailto:a@example.com", ""),
        ("http://[broken", ""),
        ("https://example.com:99999/", ""),
        ("https://example.com/" + "x" * 3_000, ""),
        ("", ""),
    ],
)
def test_canonical(url: str, canonical: str) -> None:
    assert canonical_url(url, "https://feed.example/rss") == canonical


@given(st.text(max_size=60), st.sampled_from(["", "https://example.com/", "https://example.com/?"]))
def test_canonical_is_canonical_already(text: str, start: str) -> None:
    once = canonical_url(start + text)
    assert canonical_url(once) == once
    assert once.startswith(("https://", "http://")) or not once


@given(st.sampled_from(sorted(TRACKING)), st.text(alphabet="abc", min_size=1))
def test_tracking_makes_no_difference(name: str, value: str) -> None:
    assert canonical_url(f"https://example.com/x?id=1&{name}={value}") == "https://example.com/x?id=1"


def test_identity_follows_the_url_or_else_feed_and_content() -> None:
    content = content_hash("title", "summary")
    assert article_id("https://example.com/1", "a", content) == article_id("http://example.com/1", "b", content_hash("other", ""))
    assert article_id("", "a", content) == article_id("", "a", content) != article_id("", "b", content)
    assert article_id("", "a", content) != article_id("", "a", content_hash("titles", "ummary"))
    assert len(article_id("", "a", content)) == 32


def _at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * _NS  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "moment", "offset"),
    [
        ("Fri, 24 Apr 2026 20:00:00 GMT", (2026, 4, 24, 20), 0),
        ("Fri, 24 Apr 2026 20:00 GMT", (2026, 4, 24, 20), 0),
        (" \n Fri, 24 Apr 2026\n20:00:00 -0400 ", (2026, 4, 25), -240),
        ("24 Apr 2026 20:00:00 EDT", (2026, 4, 25), -240),
        ("Thu, 16 Jul 2026 11:55:58 CEST", (2026, 7, 16, 9, 55, 58), 120),
        ("2026-04-30T17:30:48-04:00", (2026, 4, 30, 21, 30, 48), -240),
        ("2026-07-16T15:49:59Z", (2026, 7, 16, 15, 49, 59), 0),
        ("2026-07-16T15:49:59.000000000Z", (2026, 7, 16, 15, 49, 59), 0),
        ("2025-09-26 10:17:15", (2025, 9, 26, 10, 17, 15), None),
        ("Fri, 24 Apr 2026 20:00:00", (2026, 4, 24, 20), None),
        ("Fri, 24 Apr 2026 20:00:00 IST", (2026, 4, 24, 20), None),
    ],
)
def test_dates(text: str, moment: tuple[int, ...], offset: int | None) -> None:
    assert read_date(text) == PublishedAt(_at(*moment), offset)


def test_a_zone_is_assumed_only_where_none_is_named() -> None:
    new_york = ZoneInfo("America/New_York")
    assert read_date("2025-09-26 10:17:15", new_york) == PublishedAt(_at(2025, 9, 26, 14, 17, 15), -240)
    assert read_date("2025-12-26 10:17:15", new_york) == PublishedAt(_at(2025, 12, 26, 15, 17, 15), -300)
    assert read_date("2025-09-26T10:17:15Z", new_york) == PublishedAt(_at(2025, 9, 26, 10, 17, 15), 0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "Mon, 32 Jul 2026 10:00:00 GMT", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "1969-12-31T00:00:00Z", "2026-13-01", "1" * 200]
)
def test_what_is_no_date_stays_missing(text: str) -> None:
    assert read_date(text) is None


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    found = read_date(text, UTC)
    assert found is None or found.ns >= 0
