"""Feeds as they were captured: every item of each, with what is known of them. Run by `make test-data`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.news.adapters.registry import ADAPTERS
from services.news.parsing import FeedItem, ParsedFeed, parse_feed
from tests.unit.news.crawl_parts import make_feed

pytestmark = pytest.mark.data

#: Items as counted with `grep -cE '<(item|entry)>'`; feed's title; language; adapter.
CAPTURED = {
    "cnbc_top_news_2026-05-01.xml": (30, "US Top News and Analysis", "en", "rss"),
    "fed_press_2026-04-24.xml": (20, "FRB: Press Release - All Releases", "en", "fed"),
    "investing_forex_2025-09-26.xml": (10, "Forex News", "", "investing"),
    "sec_edgar_8k_atom_2026-04-30.xml": (40, "Latest Filings - Thu, 30 Apr 2026 22:04:28 EDT", "", "edgar"),
    "theblock_crypto_2026-07-16.xml": (20, "The Block", "en", "rss"),
    "yahoo_finance_rssindex_2026-07-16.xml": (48, "Yahoo Finance", "en", "yahoo"),
    "yahoo_headline_AAPL_empty_2022-05-13.xml": (0, "Yahoo! Finance: AAPL News", "en", "yahoo"),
    "yahoo_headline_TSLA_2025-07-26.xml": (20, "Yahoo! Finance: TSLA News", "en", "yahoo"),
}


def captured(name: str) -> bytes:
    folder = os.environ.get("SIGNALBOX_DATA")
    assert folder, "SIGNALBOX_DATA is not set"
    return (Path(folder) / "news" / "rss" / name).read_bytes()


def read(name: str) -> tuple[ParsedFeed, list[FeedItem]]:
    adapter = ADAPTERS[CAPTURED[name][3]]
    feed = make_feed(assumed_zone=adapter.assumed_zone)
    parsed = parse_feed(captured(name), assumed=feed.assumed_zone)
    return parsed, [adapter.adapt(item, feed) for item in parsed.items]


@pytest.mark.parametrize("name", CAPTURED)
def test_every_item_is_read_whole(name: str) -> None:
    parsed, items = read(name)
    count, title, language, _ = CAPTURED[name]
    assert (len(items), parsed.title, parsed.language) == (count, title, language)
    assert (dict(parsed.refused), dict(parsed.marked), parsed.is_truncated, parsed.is_reencoded) == ({}, {}, False, False)
    assert len({item.url for item in items}) == count
    for item in items:
        assert item.title
        assert item.published is not None
        assert item.published.utc_offset_minutes is not None
        assert item.raw in captured(name)
        assert not {"<", "â", "\n"} & set(item.title + item.summary), item
        assert "tsrc" not in item.url
        assert "utm_" not in item.url


def test_investing_means_utc_and_names_its_source() -> None:
    _, items = read("investing_forex_2025-09-26.xml")
    by_title = {item.title: item for item in items}
    korea = by_title["Korea’s wobbles over US trade talks awaken the won bears"]
    assert korea.published is not None
    assert korea.published.ns == int(datetime(2025, 9, 25, 22, 0, 26, tzinfo=UTC).timestamp()) * 10**9
    assert korea.publisher == "Reuters"


def test_filings_name_the_company_first() -> None:
    _, items = read("sec_edgar_8k_atom_2026-04-30.xml")
    assert items[0].title == "DBV Technologies S.A.: 8-K"
    assert items[0].summary.endswith("Item 2.02: Results of Operations and Financial Condition Item 9.01: Financial Statements and Exhibits")
    assert items[0].published is not None
    assert items[0].published.utc_offset_minutes == -240


def test_a_summary_that_only_repeats_the_title_is_left_out() -> None:
    _, items = read("fed_press_2026-04-24.xml")
    assert {item.summary for item in items} == {""}
    assert {item.publisher for item in items} == {"Federal Reserve Board"}


def test_yahoo_s_items_name_their_publisher_and_have_their_own_dates() -> None:
    _, items = read("yahoo_finance_rssindex_2026-07-16.xml")
    assert items[0].publisher == "Reuters"
    assert items[0].published is not None
    assert items[0].published.ns == int(datetime(2026, 7, 16, 15, 49, 59, tzinfo=UTC).timestamp()) * 10**9


def test_a_feed_without_declaration_of_its_encoding() -> None:
    parsed = parse_feed(captured("yahoo_headline_MSFT_2020-08-01_trimmed.xml"))
    assert [item.title for item in parsed.items] == ["White House Poised to Announce Move on TikTok’s U.S. Operations", "Is NVIDIA a Buy?"]
