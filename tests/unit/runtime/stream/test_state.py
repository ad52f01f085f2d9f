from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from services.runtime.stream.state import StateError, pack_state, unpack_state

_DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="="), hnp.unsigned_integer_dtypes(endianness="="), hnp.floating_dtypes(endianness="=", sizes=(32, 64))
)
_ARRAYS = st.dictionaries(st.text(max_size=8), hnp.arrays(_DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)), max_size=5)
_META = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_ARRAYS, _META)
def test_a_state_comes_back_as_it_was(arrays: dict[str, NDArray[Any]], meta: object) -> None:
    state = unpack_state(pack_state(arrays, meta))
    assert state.meta == meta
    assert sorted(state.arrays) == sorted(arrays)
    for name, array in arrays.items():
        found = state.arrays[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()  # NaN included
        assert found.flags.writeable


@given(_ARRAYS, _META)
def test_the_order_of_names_does_not_change_the_bytes(arrays: dict[str, NDArray[Any]], meta: object) -> None:
    assert pack_state(dict(reversed(arrays.items())), meta) == pack_state(arrays, meta)


@given(_ARRAYS, st.data())
def test_a_cut_state_is_refused(arrays: dict[str, NDArray[Any]], data: st.DataObject) -> None:
    packed = pack_state(arrays)
    with pytest.raises(StateError):
        unpack_state(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_memory_layout_and_byte_order_do_not_change_the_bytes() -> None:
    array = np.arange(12, dtype="<i8").reshape(3, 4)
    assert pack_state({"a": np.asfortranarray(array)}) == pack_state({"a": array})
    assert pack_state({"a": array.astype(">i8")}) == pack_state({"a": array})
    assert pack_state({"a": np.repeat(array, 2, axis=1)[:, ::2]}) == pack_state({"a": array})


def test_times_and_text_are_kept() -> None:
    arrays = {"t": np.array(["2020-01-01"], "datetime64[ns]"), "s": np.array(["AAPL.XNAS", "ü"])}
    found = unpack_state(pack_state(arrays)).arrays
    assert found["t"].tolist() == arrays["t"].tolist()
    assert found["s"].tolist() == ["AAPL.XNAS", "ü"]


@pytest.mark.parametrize("array", [np.array([object()]), np.zeros(2, [("a", "i4")])])
def test_dtypes_that_are_not_plain_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(StateError, match="expected a plain dtype"):
        pack_state({"a": array})


def test_metadata_that_is_not_json_is_refused() -> None:
    with pytest.raises(StateError, match="meta"):
        pack_state({}, {1, 2})


@pytest.mark.parametrize("data", [b"", b"SBSTATE1", b"PK\x03\x04" + bytes(20), b"SBSTATE1\x05\x00\x00\x00nonsense"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        unpack_state(data)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(StateError, match="expected"):
        unpack_state(pack_state({"a": np.zeros(1)}) + bytes(8))
