"""The archive: whole reports only, newest first, nothing outside its folder."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.reports.v1 import reports_service_pb2 as pb
from structlog.testing import capture_logs

from services.reports.daily import archive as archive_module
from services.reports.daily.archive import ReportArchive
from services.reports.daily.errors import ReportNotFound
from services.runtime.errors import InvalidArgument
from services.runtime.testing import ManualClock

FILES = {"input.zip": b"input", "report.json": b"{}"}


def report(day: int = 1, tail: str = "0a0a0a0a", recorded_s: int = 100) -> pb.DailyReport:
    date = f"2026-03-{day:02}"
    return pb.DailyReport(id=f"{date}-{tail}", date=date, recorded_at=Timestamp(seconds=recorded_s), warnings=["news: away"])


def test_a_report_comes_back_with_its_files(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path / "reports")
    kept = archive.put(report(), FILES)
    assert archive.get(kept.id) == kept
    assert [(file.name, file.size_bytes, file.sha256) for file in kept.files] == [
        ("report.json", 2, sha256(b"{}").hexdigest()),
        ("input.zip", 5, sha256(b"input").hexdigest()),
    ]
    path, file = archive.path(kept.id, "report.json")
    assert (path.read_bytes(), file.content_type) == (b"{}", "application/json")
    assert archive.input_of(kept.id) == b"input"
    assert sorted(os.listdir(tmp_path / "reports" / kept.id)) == ["input.zip", "manifest.json", "report.json"]


def test_a_report_that_is_made_again_gains_files(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path)
    archive.put(report(), FILES)
    kept = archive.put(report(), {"input.zip": b"input", "report.html": b"<html>"})
    assert [file.name for file in kept.files] == ["report.json", "report.html", "input.zip"]
    assert archive.get(kept.id) == kept
    assert all((tmp_path / kept.id / file.name).read_bytes() for file in kept.files)
    assert os.listdir(tmp_path) == [kept.id]


def test_there_is_never_half_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = ReportArchive(tmp_path)
    written: list[Path] = []

    def full_disk(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    monkeypatch.setattr(archive_module, "_write_synced", full_disk)
    with pytest.raises(OSError, match="No space"):
        archive.put(report(), FILES)
    assert os.listdir(tmp_path) == []
    assert archive.list() == []


def test_newest_first_by_day_then_by_recording(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path)
    for each in (report(2, "bbbbbbbb", 50), report(1, "aaaaaaaa", 900), report(2, "cccccccc", 70)):
        archive.put(each, FILES)
    assert [item.id[-8:] for item in archive.list()] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]
    assert archive.get("latest").id == "2026-03-02-cccccccc"


def test_what_is_not_there(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path / "none")
    assert archive.list() == []
    for wanted in ("latest", "2026-03-01-00000000"):
        with pytest.raises(ReportNotFound):
            archive.get(wanted)
    archive.put(report(), FILES)
    for name in ("report.pdf", "manifest.json", "../manifest.json", ""):
        with pytest.raises(ReportNotFound):
            archive.path(report().id, name)


@pytest.mark.parametrize("wanted", ["", "..", "../../etc", "2026-03-01-0A0A0A0A", "2026-03-01", ".new-x", "/", "2026-03-01-0a0a0a0a\n"])
def test_malformed_ids_are_refused(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(InvalidArgument, match="expected a report's id"):
        ReportArchive(tmp_path).get(wanted)


def test_a_manifest_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path)
    archive.put(report(1), FILES)
    broken = archive.put(report(2), FILES)
    (tmp_path / broken.id / "manifest.json").write_text("{", encoding="utf-8")
    assert [item.id for item in archive.list()] == [report(1).id]


def test_a_manifest_of_a_later_version_is_read(tmp_path: Path) -> None:
    archive = ReportArchive(tmp_path)
    kept = archive.put(report(), FILES)
    path = tmp_path / kept.id / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"new_field": 1}), encoding="utf-8")
    assert archive.get(kept.id) == kept


def test_folders_left_behind_go_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    left, fresh = tmp_path / ".new-old", tmp_path / ".new-fresh"
    for folder, age_s in ((left, 90_000), (fresh, 60)):
        folder.mkdir()
        when = clock.now_ns() / 1e9 - age_s
        os.utime(folder, (when, when))
    ReportArchive(tmp_path, clock).put(report(), FILES)
    assert sorted(os.listdir(tmp_path)) == [".new-fresh", report().id]


def test_a_folder_that_cannot_be_removed_is_told_and_the_report_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".new-old"
    left.mkdir()
    os.utime(left, (0, 0))

    def refuse(folder: Path) -> None:
        if folder == left:
            raise OSError(30, "Read-only file system", str(folder))
        raise FileNotFoundError(folder)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with capture_logs() as logs:
        kept = ReportArchive(tmp_path).put(report(), FILES)
    assert ReportArchive(tmp_path).get(kept.id) == kept
    assert [(line["log_level"], line["path"]) for line in logs] == [("warning", str(left))]
    assert "Read-only" in logs[0]["error"]
