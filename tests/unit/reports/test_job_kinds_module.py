"""Kinds of an installation's own."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from services.reports.errors import WrongKinds
from services.reports.kinds import known_kinds
from services.reports.settings import ReportsSettings
from services.runtime.job_kinds import CACHE_CLEAN, JOB_KINDS
from services.runtime.settings import load_settings
from tests.unit.reports import kinds_module


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("their_kinds")
    monkeypatch.setitem(sys.modules, "their_kinds", made)
    return made


def test_without_a_module_there_are_the_products_kinds() -> None:
    assert known_kinds([]) == JOB_KINDS


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_modules_kinds_are_added(module: ModuleType, as_mapping: bool) -> None:
    kinds = kinds_module.JOB_KINDS
    module.JOB_KINDS = {kind.name: kind for kind in kinds} if as_mapping else kinds  # type: ignore[attr-defined]
    assert known_kinds(["their_kinds"]) == JOB_KINDS | {"test.echo": kinds[0]}


@pytest.mark.parametrize(
    ("value", "says"),
    [(None, "expected JOB_KINDS"), (["test.echo"], "expected JOB_KINDS"), ("test.echo", "expected JOB_KINDS"), ([CACHE_CLEAN], "cache.clean exists already")],
)
def test_a_module_that_cannot_be_used_is_named(module: ModuleType, value: object, says: str) -> None:
    module.JOB_KINDS = value  # type: ignore[attr-defined]
    with pytest.raises(WrongKinds, match=rf"SIGNALBOX_JOB_KINDS_MODULE: their_kinds: .*{says}"):
        known_kinds(["their_kinds"])


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(WrongKinds, match=r"nowhere\.at_all: cannot be imported"):
        known_kinds(["nowhere.at_all"])


def test_all_modules_that_cannot_be_used_are_named_at_once(module: ModuleType) -> None:
    module.JOB_KINDS = [CACHE_CLEAN]  # type: ignore[attr-defined]
    with pytest.raises(WrongKinds) as wrong:
        known_kinds(["nowhere.at_all", "their_kinds", "nor.here"])
    assert [problem.partition(": ")[0] for problem in wrong.value.problems] == ["nowhere.at_all", "their_kinds", "nor.here"]


def test_the_setting_names_modules_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one.kinds", "two"):
        theirs = ModuleType(name)
        theirs.JOB_KINDS = []  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, theirs)
    monkeypatch.setenv("SIGNALBOX_JOB_KINDS_MODULE", "one.kinds,two")
    assert load_settings(ReportsSettings).kinds_modules() == ["one.kinds", "two"]
    monkeypatch.setenv("SIGNALBOX_JOB_KINDS_MODULE", "")
    assert load_settings(ReportsSettings).kinds_modules() == []
