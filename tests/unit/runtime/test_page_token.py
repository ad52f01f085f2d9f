"""Page tokens hold numbers for one query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.page_token import BadPageToken, make_token, read_token

QUERY = ("bars", "ES.XCME", 60, None, 5)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4))
def test_what_was_put_in_comes_out(numbers: list[int]) -> None:
    token = make_token(QUERY, *numbers)
    assert read_token(token, QUERY, len(numbers)) == tuple(numbers)
    assert token.isascii()
    assert not set(token) & set("+/=")


@pytest.mark.parametrize("token", ["x", "abc", "!!!!", "é", "A" * 40, make_token(QUERY, 1), make_token(QUERY, 1, 2, 3)])
def test_what_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(BadPageToken, match="page_token"):
        read_token(token, QUERY, 2)


def test_a_token_of_another_query_is_refused() -> None:
    with pytest.raises(BadPageToken, match="belongs to another query"):
        read_token(make_token(QUERY, 1, 2), ("bars", "ES.XCME", 300, None, 5), 2)


@given(st.integers(0, 31))
def test_a_changed_token_is_refused(at: int) -> None:
    token = make_token(QUERY, 1, 2)
    changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
    with pytest.raises(BadPageToken):
        read_token(changed, QUERY, 2)
