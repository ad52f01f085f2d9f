"""Feeds written for tests."""

from __future__ import annotations

from collections.abc import Sequence


def rss(items: Sequence[str], *, head: str = "<title>Test feed</title><language>en-us</language>") -> bytes:
    """An RSS 2.0 feed of these items, each the inside of its element."""
    inside = "".join(f"<item>{item}</item>\n" for item in items)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel>{head}\n{inside}</channel></rss>\n'.encode()


def story(number: int, *, title: str = "", date: bool = True) -> str:
    """The inside of an item: a story that can be told from others by its number."""
    text = (
        f"<title>{title or f'Story number {number}'}</title><link>https://example.com/news/{number}</link><description>What happened, {number}.</description>"
    )
    return text + (f"<pubDate>Mon, 05 Jan 2026 10:{number % 60:02d}:00 GMT</pubDate>" if date else "")


BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<rss version="2.0"><channel><title>&c;</title><item><title>&c;</title><link>https://example.com/1</link></item></channel></rss>"""

EXTERNAL_ENTITY = b"""<?xml version="1.0"?>
<!DOCTYPE rss [<!ENTITY passwords SYSTEM "file:///etc/passwd">]>
<rss version="2.0"><channel><item><title>&passwords;</title><link>https://example.com/1</link></item></channel></rss>"""
