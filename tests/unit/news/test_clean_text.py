"""Text of feeds as clean lines."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.cleaning import clean_line


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Koreaâ€™s wobbles awaken the won bears", "Korea’s wobbles awaken the won bears"),
        ("Riksbankâ€™s â€œsurpriseâ€\x9d cut", "Riksbank’s “surprise” cut"),
        ("Société Générale – “right” already", "Société Générale – “right” already"),
        ("cafe\u0301", "café"),
        ("<p>One</p><p>two<br/>three</p>", "One two three"),
        ("<b>in</b>side a <a href='x'>link</a>", "inside a link"),
        ("a <script>alert(1)</script><style>b{}</style>c<!-- d -->e", "a ce"),
        ("AT&amp;T &lt;b&gt; &#8364;5 &nbsp; x", "AT&T <b> €5 x"),
        ("AT&T gains 5 < 6", "AT&T gains 5 < 6"),
        ("  a\n\tb \u2028 c\u00a0d ", "a b c d"),
        ("safe\u202egnp.exe\u202c name\u200b\ufeff", "safegnp.exe name"),
        ("bell\x07 and\x1b[31m red", "bell and[31m red"),
        ("<div>" * 3_000 + "deep", ""),
        ("", ""),
    ],
)
def test_clean(text: str, clean: str) -> None:
    assert clean_line(text, 200) == clean


def test_plain_text_keeps_what_looks_like_html() -> None:
    assert clean_line("Use <b> & &amp;", 100, is_html=False) == "Use <b> & &amp;"


def test_a_long_text_is_cut_at_a_word() -> None:
    assert clean_line("one two three four", 14) == "one two three…"
    assert clean_line("x" * 50, 10) == "x" * 9 + "…"
    assert clean_line("exactly ten", 11) == "exactly ten"


@given(st.text(max_size=300), st.booleans())
def test_whatever_comes_is_one_line_without_controls(text: str, is_html: bool) -> None:
    line = clean_line(text, 80, is_html=is_html)
    assert len(line) <= 80
    assert line == line.strip()
    assert not [character for character in line if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= character <= "\u202e"]


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<&"), max_size=100))
def test_plain_english_stays_as_it_is(text: str) -> None:
    assert clean_line(text, 200) == " ".join(text.split())
