"""One form for each URL, and the identity that follows from it.

Canonical: absolute, http or https, host in lower case, default port and fragment dropped, percent-encoding normalised, parameters in order
and without those that only say where a reader came from (TRACKING and TRACKING_PREFIXES below).
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from w3lib.url import canonicalize_url

#: Parameters that name a campaign, a click or a reader, never an article.
TRACKING = frozenset(
    (
        # advertisers' click identifiers
        *("fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid", "li_fat_id", "igshid"),
        # mailing lists
        *("mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "vero_id", "oly_anon_id", "oly_enc_id"),
        # Yahoo Finance
        *(".tsrc", "tsrc", "yptr", "soc_src", "soc_trk", "guccounter", "guce_referrer", "guce_referrer_sig", "ncid"),
        # CNBC, Reuters, Bloomberg, Nasdaq, Dow Jones
        *("__source", "feedtype", "feedname", "cmpid", "srnd", "sref", "reflink", "taid", "cid_source"),
    )
)
#: Campaign parameters of Google Analytics, Matomo and Piwik.
TRACKING_PREFIXES = ("utm_", "mtm_", "pk_", "hsa_")

_MAX_CHARS = 2_048
#: Feeds that are laid out by hand break links over lines; browsers leave the breaks out as well.
_BREAKS = re.compile(r"[\t\r\n]+\s*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ID_BYTES = 16


def canonical_url(url: str, base: str = "") -> str:
    """The canonical form of a link. base: what a relative link is relative to.

    Returns an empty text for what is no link to a page: other schemes (`javascript:`), no host, over 2,048 characters, unreadable.
    """
    url = _BREAKS.sub("", url.strip())
    try:
        absolute = urljoin(base, url) if base else url
        if not url or len(absolute) > _MAX_CHARS:
            return ""
        parts = urlsplit(canonicalize_url(absolute))
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return ""
        return urlunsplit((parts.scheme, _host(parts.scheme, parts.hostname, parts.port), parts.path or "/", _query(parts.query), ""))
    except ValueError:
        return ""


def _host(scheme: str, hostname: str, port: int | None) -> str:
    # Names and passwords in a URL are left out on purpose: they are nobody's to publish.
    host = f"[{hostname}]" if ":" in hostname else hostname.rstrip(".")
    return host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"


def _query(query: str) -> str:
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if not is_tracking(name)]
    return urlencode(kept)


def is_tracking(parameter: str) -> bool:
    """Whether a parameter only says where a reader came from."""
    name = parameter.lower()
    return name in TRACKING or name.startswith(TRACKING_PREFIXES)


def article_id(url: str, feed: str, content: bytes) -> str:
    """Identity of an article, 32 hexadecimal digits: of its canonical URL without the scheme, or of feed and content hash where there is no URL."""
    identity = f"url\0{url.partition('://')[2]}".encode() if url else b"content\0" + feed.encode() + b"\0" + content
    return hashlib.blake2b(identity, digest_size=_ID_BYTES).hexdigest()


def content_hash(title: str, summary: str) -> bytes:
    """16 bytes that change with the clean text of an article."""
    return hashlib.blake2b(f"{title}\0{summary}".encode(), digest_size=_ID_BYTES).digest()
