"""Folders of tables that cannot be removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.analysis.jobs.tables import BatchTables


def _refuse(folder: Path) -> None:
    raise OSError(30, "Read-only file system", str(folder))


def test_tables_of_an_earlier_attempt_that_stay_are_an_error_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", _refuse)
    with pytest.raises(OSError, match="Read-only"), BatchTables(tmp_path / "job"):
        pass


def test_after_an_error_what_stays_is_told_and_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = BatchTables(tmp_path / "job")
    tables.__enter__()
    monkeypatch.setattr(shutil, "rmtree", _refuse)
    with capture_logs() as logs:
        tables.__exit__(ValueError, ValueError("of the job"), None)
    assert [(line["log_level"], line["path"]) for line in logs] == [("warning", str(tmp_path / ".job.part"))]


def test_the_same_job_again_replaces_its_tables(tmp_path: Path) -> None:
    for _ in range(2):
        with BatchTables(tmp_path / "job"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["job"]
