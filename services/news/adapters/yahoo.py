"""Yahoo Finance: headlines of one symbol, https://feeds.finance.yahoo.com/rss/2.0/headline?s={symbol}, and its general feed.

A feed of one symbol links all its articles to it. Yahoo names markets outside the United States by a suffix.
"""

from __future__ import annotations

from urllib.parse import quote

from services.news.adapters.rss import RssAdapter

#: Yahoo's suffix by MIC, from its table of exchanges; markets of the United States have none.
SUFFIXES = {
    "XTKS": ".T",
    "XLON": ".L",
    "XETR": ".DE",
    "XFRA": ".F",
    "XPAR": ".PA",
    "XAMS": ".AS",
    "XBRU": ".BR",
    "XMIL": ".MI",
    "XMAD": ".MC",
    "XSWX": ".SW",
    "XSTO": ".ST",
    "XCSE": ".CO",
    "XHEL": ".HE",
    "XOSL": ".OL",
    "XTSE": ".TO",
    "XTSX": ".V",
    "XHKG": ".HK",
    "XSHG": ".SS",
    "XSHE": ".SZ",
    "XKRX": ".KS",
    "XTAI": ".TW",
    "XNSE": ".NS",
    "XBOM": ".BO",
    "XASX": ".AX",
    "BVMF": ".SA",
    "XCME": "=F",
    "XNYM": "=F",
    "XCEC": "=F",
    "XCBT": "=F",
}


class YahooAdapter(RssAdapter):
    """Yahoo Finance."""

    def symbol_in_url(self, symbol: str) -> str:
        """The ticker as Yahoo writes it, `7203.T` for 7203.XTKS."""
        ticker, _, mic = symbol.partition(".")
        return quote(ticker + SUFFIXES.get(mic, ""))
