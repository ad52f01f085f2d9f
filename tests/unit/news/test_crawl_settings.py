"""The file of feeds: what it means, and what is said when it is wrong."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest

from services.news.adapters.registry import ADAPTERS
from services.news.errors import WrongFeeds
from services.news.feeds.config import load_feeds


def written(folder: Path, text: str) -> Path:
    path = folder / "feeds.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_that_comes_with_the_service_is_right() -> None:
    feeds = {feed.name: feed for feed in load_feeds()}
    assert {feed.adapter for feed in feeds.values()} == set(ADAPTERS)
    apple = feeds["yahoo/AAPL.XNAS"]
    assert (apple.url, apple.symbol, apple.mention) == ("https://feeds.finance.yahoo.com/rss/2.0/headline?s=AAPL&region=US&lang=en-US", "AAPL.XNAS", "AAPL")
    assert feeds["investing-stocks"].assumed_zone == UTC
    assert {feed.name for feed in feeds.values() if feed.is_recorded} == {"recorded-fed", "recorded-edgar"}


def test_markets_outside_the_united_states_have_yahoo_s_suffix(tmp_path: Path) -> None:
    path = written(tmp_path, "feeds: [{name: y, adapter: yahoo, url: 'https://y.example/?s={symbol}', symbols: [7203.XTKS, BP.XLON, ^GSPC.XNYS]}]")
    assert [feed.url.partition("=")[2] for feed in load_feeds(path)] == ["7203.T", "BP.L", "%5EGSPC"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: Bad Name, url: 'https://a.example'}", "feeds.0.name (Bad Name): expected match pattern"),
        ("{name: a, url: 'ftp://a.example'}", "feeds.0.url (a): expected match pattern"),
        ("{name: a}", "feeds.0 (a): expected url: needed unless the feed is recorded"),
        (
            "{name: a, url: 'https://a.example', adapter: gopher}",
            "feeds.0.adapter (a): expected one of edgar, fed, investing, recorded, rss, yahoo, was 'gopher'",
        ),
        ("{name: a, url: 'https://a.example', interval: soon}", "feeds.0.interval (a): expected a number and s, m, h or d, as in 15m, was 'soon'"),
        ("{name: a, url: 'https://a.example', interval: 1m}", "feeds.0 (a): expected interval: at least 5m for a feed from a server"),
        (
            "{name: a, url: 'https://a.example', time_zone: Mars/Olympus}",
            "feeds.0.time_zone (a): expected an IANA time zone as America/New_York, was 'Mars/Olympus'",
        ),
        ("{name: a, url: 'https://a.example', language: english}", "feeds.0.language (a): expected match pattern"),
        ("{name: a, url: 'https://a.example', symbols: [AAPL.XNAS]}", "feeds.0 (a): expected url: {symbol} goes with symbols"),
        ("{name: a, url: 'https://a.example/{symbol}', symbols: [apple]}", "feeds.0.symbols.0 (a): expected match pattern"),
        ("{name: a, url: 'https://a.example', colour: red}", "feeds.0.colour (a): expected Extra inputs are not permitted, was 'red'"),
        ("{name: a, adapter: recorded, file: none.xml}", "a: file: expected a file that exists, was"),
        ("{name: a, adapter: recorded}", "feeds.0 (a): expected file: a recorded feed needs one"),
        ("{name: a, url: 'https://a.example'}, {name: a, url: 'https://b.example'}", "name: expected each once, was 'a' several times"),
        ("", "feeds: expected"),
    ],
)
def test_a_mistake_is_told_with_field_value_and_what_was_expected(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(WrongFeeds) as caught:
        load_feeds(written(tmp_path, f"feeds: [{entry}]"))
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["feeds: [", "- just\n- a list", "", "\x00"])
def test_a_file_that_is_no_such_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(WrongFeeds):
        load_feeds(written(tmp_path, text))
    with pytest.raises(WrongFeeds, match="readable"):
        load_feeds(tmp_path / "not there.yaml")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(WrongFeeds) as caught:
        load_feeds(written(tmp_path, "feeds: [{name: A, url: 'x'}, {name: b, url: 'https://b.example', interval: 3}]"))
    assert len(caught.value.problems) == 3
