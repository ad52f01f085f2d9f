"""From bytes to items: every form of feed, every item of each, whatever was done to the bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.errors import FeedRefused
from services.news.items import MAX_ITEMS
from services.news.parsing import FeedItem, parse_feed
from tests.unit.news.feed_texts import BILLION_LAUGHS, EXTERNAL_ENTITY, rss, story

_NS = 10**9
_MONDAY_TEN = 1_767_607_200  # 2026-01-05 10:00:00 UTC, date -u -d


def only(body: bytes, url: str = "", charset: str = "") -> FeedItem:
    items = parse_feed(body, url=url, charset=charset).items
    assert len(items) == 1
    return items[0]


def test_every_item_of_an_rss_feed_is_taken() -> None:
    parsed = parse_feed(rss([story(number) for number in range(60)]))
    assert [item.url for item in parsed.items] == [f"https://example.com/news/{number}" for number in range(60)]
    assert (parsed.title, parsed.language, parsed.is_truncated, parsed.refused, parsed.marked) == ("Test feed", "en", False, {}, {})
    first = parsed.items[0]
    assert (first.title, first.summary, first.raw_type) == ("Story number 0", "What happened, 0.", "application/rss+xml")
    assert first.published is not None
    assert (first.published.ns, first.published.utc_offset_minutes) == (_MONDAY_TEN * _NS, 0)


def test_an_atom_entry() -> None:
    body = b"""<?xml version="1.0" encoding="utf-8"?>
    <feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de"><title>Feed</title><link rel="self" href="https://example.com/feed"/>
    <entry><title type="text">a &lt; b &amp; c</title><link rel="edit" href="https://example.com/edit"/><link href="/page?id=1#top"/>
      <id>urn:1</id><author><name>Ada</name></author><source><title>The Wire</title></source>
      <summary type="html">&lt;p&gt;One &amp;amp; two&lt;/p&gt;&lt;p&gt;three&lt;/p&gt;</summary>
      <published>2026-01-05T11:00:00+01:00</published><updated>2026-01-06T00:00:00Z</updated></entry></feed>"""
    item = only(body, url="https://example.com/feed")
    assert (item.title, item.summary, item.url) == ("a < b & c", "One & two three", "https://example.com/page?id=1")
    assert (item.author, item.publisher, item.guid, item.raw_type) == ("Ada", "The Wire", "urn:1", "application/atom+xml")
    assert item.published is not None
    assert (item.published.ns, item.published.utc_offset_minutes) == (_MONDAY_TEN * _NS, 60)


def test_an_rdf_item_has_its_date_in_dublin_core() -> None:
    body = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
    <channel rdf:about="x"><title>Feed</title></channel>
    <item rdf:about="y"><title>T</title><link>https://example.com/1</link><dc:date>2026-01-05T10:00:00Z</dc:date><dc:publisher>P</dc:publisher></item></rdf:RDF>"""
    item = only(body)
    assert (item.title, item.publisher) == ("T", "P")
    assert item.published is not None
    assert item.published.ns == _MONDAY_TEN * _NS


def test_fields_of_other_vocabularies_do_not_take_the_place_of_the_item_s_own() -> None:
    body = rss(["<media:title>Picture</media:title><title>T</title><media:description>A picture</media:description><link>https://example.com/1</link>"])
    body = body.replace(b"<rss ", b'<rss xmlns:media="http://search.yahoo.com/mrss/" ')
    assert (only(body).title, only(body).summary) == ("T", "")


def test_cdata_and_entities_and_stray_ampersands() -> None:
    link = "<link>https://example.com/?a=1&copy=2</link>"
    item = only(rss([f"<title>Caf&eacute; &amp; AT&T&nbsp;profit &#8211; up</title>{link}<description><![CDATA[<b>5 &lt; 6</b> R&D </item>]]></description>"]))
    assert (item.title, item.summary, item.url) == ("Café & AT&T profit – up", "5 < 6 R&D", "https://example.com/?a=1&copy=2")


def test_an_item_without_link_or_date_is_taken_and_marked() -> None:
    parsed = parse_feed(rss(["<title>No link</title><pubDate>Mon, 05 Jan 2026 10:00:00 GMT</pubDate>", "<title>T</title><link>https://example.com/1</link>"]))
    assert [(item.url, item.published is None) for item in parsed.items] == [("", False), ("https://example.com/1", True)]
    assert parsed.marked == {"no-link": 1, "no-date": 1}


def test_a_guid_is_a_link_only_when_it_is_one() -> None:
    bodies = ["https://example.com/9", "9"], ["", "https://example.com/9"]
    assert only(rss([f"<title>T</title><guid>{bodies[0][0]}</guid>"])).url == "https://example.com/9"
    assert only(rss([f"<title>T</title><guid>{bodies[0][1]}</guid>"])).url == ""
    assert only(rss([f'<title>T</title><guid isPermaLink="false">{bodies[1][1]}</guid>'])).url == ""


def test_an_empty_item_is_refused_and_counted() -> None:
    parsed = parse_feed(rss(["", "<guid>1</guid>", story(1)]))
    assert len(parsed.items) == 1
    assert parsed.refused == {"empty-item": 2}


def test_one_broken_item_harms_no_other() -> None:
    parsed = parse_feed(rss([story(1), "<title>Open <b>tags</title><link>https://example.com/broken<description>x", story(2)]))
    assert [item.title for item in parsed.items][::2] == ["Story number 1", "Story number 2"]
    assert len(parsed.items) == 3


def test_the_item_is_kept_as_the_feed_held_it() -> None:
    body = rss(["<title>\n  Ko\xadrea &amp;  </title>"])
    assert only(body).raw == body[body.index(b"<item>") : body.index(b"</item>") + len(b"</item>")]


def test_a_large_item_is_kept_in_part() -> None:
    item = only(rss([f"<title>T</title><description>{'word ' * 100_000}</description>"]))
    assert len(item.raw) == 64 << 10
    assert len(item.summary) <= 2_000
    assert item.summary.endswith("word…")


def test_items_of_a_feed_that_ends_early_are_those_that_are_whole() -> None:
    whole = rss([story(number) for number in range(5)])
    cut = whole[: whole.rindex(b"<description>")]
    parsed = parse_feed(cut)
    assert [item.title for item in parsed.items] == [f"Story number {number}" for number in range(4)]
    assert parsed.is_truncated
    assert parsed.refused == {"truncated": 1}


@given(st.integers(min_value=0, max_value=len(rss([story(number) for number in range(5)]))))
def test_wherever_a_feed_is_cut_its_whole_items_are_read(length: int) -> None:
    body = rss([story(number) for number in range(5)])[:length]
    if b"<rss version" not in body or b'"2.0">' not in body:
        with pytest.raises(FeedRefused):
            parse_feed(body)
        return
    parsed = parse_feed(body)
    assert [item.title for item in parsed.items] == [f"Story number {number}" for number in range(body.count(b"</item>"))]
    assert parsed.is_truncated == (b"</rss>" not in body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BILLION_LAUGHS, "entities"),
        (EXTERNAL_ENTITY, "external-entity"),
        (b"<!DOCTYPE html><html><body>Not here</body></html>", "html"),
        (b'{"error": "not here"}', "not-a-feed"),
        (b"  \n", "empty"),
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0 a picture", "not-a-feed"),
    ],
)
def test_what_is_no_feed_is_refused_by_reason(body: bytes, reason: str) -> None:
    with pytest.raises(FeedRefused) as caught:
        parse_feed(body)
    assert caught.value.reason == reason


def test_a_bomb_in_the_encoding_of_the_declaration_is_refused_as_well() -> None:
    with pytest.raises(FeedRefused, match="entities"):
        parse_feed(BILLION_LAUGHS.decode().encode("utf-16"))


def test_the_old_document_type_of_rss_is_no_reason_to_refuse() -> None:
    body = rss([story(1)]).replace(
        b"<rss ", b'<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd"><rss '
    )
    assert only(body).title == "Story number 1"


@pytest.mark.parametrize(
    ("encoding", "declared", "charset"),
    [
        ("utf-8", "utf-8", ""),
        ("utf-8-sig", "utf-8", ""),
        ("utf-8", "iso-8859-1", ""),
        ("utf-8", "utf-8", "iso-8859-1"),
        ("cp1252", "windows-1252", ""),
        ("cp1252", "iso-8859-1", ""),
        ("cp1252", "utf-8", ""),
        ("cp1252", "utf-8", "utf-8"),
        ("utf-16", "utf-16", ""),
        ("utf-16-le", "utf-16", ""),
        ("cp1252", "no-such-encoding", "rot13"),
    ],
)
def test_characters_are_read_whatever_is_declared(encoding: str, declared: str, charset: str) -> None:
    text = rss([story(1, title="Müller’s café – 5 €")]).decode().replace('encoding="utf-8"', f'encoding="{declared}"')
    assert only(text.encode(encoding), charset=charset).title == "Müller’s café – 5 €"


@pytest.mark.parametrize(("encoding", "title"), [("gb2312", "中国股市上涨"), ("euc-kr", "코스피 상승"), ("shift_jis", "日経平均"), ("iso-2022-jp", "日経平均")])
def test_characters_of_the_east(encoding: str, title: str) -> None:
    text = rss([story(1, title=title)]).decode().replace('encoding="utf-8"', f'encoding="{encoding}"')
    assert only(text.encode(encoding)).title == title
    assert not parse_feed(text.encode(encoding)).is_reencoded


def test_an_encoding_that_is_not_the_declared_one_is_told() -> None:
    assert parse_feed(rss([story(1, title="Müller")]).decode().encode("cp1252")).is_reencoded
    assert not parse_feed(rss([story(1, title="Müller")])).is_reencoded


def test_items_beyond_the_limit_are_counted() -> None:
    parsed = parse_feed(rss(["<title>x</title>"] * (MAX_ITEMS + 7)))
    assert len(parsed.items) == MAX_ITEMS
    assert parsed.refused == {"too-many-items": 7}


@given(st.binary(max_size=300))
def test_no_bytes_break_it(noise: bytes) -> None:
    for body in (noise, b"<rss>" + noise, rss([story(1)]).replace(b"happened", noise)):
        with suppress(FeedRefused):
            parse_feed(body)


@given(
    st.lists(
        st.sampled_from([b"<item>", b"</item>", b"<item/>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<title>", b"</title>", b"a&b", b"<", b">"]), max_size=40
    )
)
def test_no_order_of_tags_breaks_it(parts: list[bytes]) -> None:
    assert len(parse_feed(b"<rss><channel>" + b"".join(parts) + b"</channel></rss>").items) <= len(parts)
