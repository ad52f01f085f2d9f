"""Which tests run beside each other, and in which order."""

from tests import scheduling
from tests.servers import REPOSITORY


def test_the_files_that_are_named_are_there() -> None:
    named = {*scheduling.ORDER, *scheduling.ON_ONE_STACK, *scheduling.EACH_BY_ITSELF}
    assert {file for file in named if not (REPOSITORY / file).is_file()} == set()
    assert len(scheduling.ORDER) == len(set(scheduling.ORDER))


def test_tests_that_share_a_stack_are_one_unit_and_those_that_share_nothing_each_their_own() -> None:
    assert len({scheduling.unit_of(f"{file}::test_a") for file in scheduling.ON_ONE_STACK}) == 1
    for file in scheduling.EACH_BY_ITSELF:
        assert scheduling.unit_of(f"{file}::test_a[1]") != scheduling.unit_of(f"{file}::test_a[2]")
    assert scheduling.unit_of("tests/unit/test_x.py::test_a") == scheduling.unit_of("tests/unit/test_x.py::test_b")
