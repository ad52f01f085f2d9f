"""The archive of reports: a folder for each, under the data folder.

`<id>/` holds the files of the report, its input and `manifest.json`, the DailyReport as JSON. A folder is made under another name and renamed when it is
complete, so whoever finds a report finds all of it. A report that is there already can only gain files: the same id means the same input and version, and
so the same bytes; its manifest, replaced last, names complete files only.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.errors import ReportNotFound
from services.reports.daily.files import CONTENT_TYPES, INPUT
from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import InvalidArgument
from services.runtime.logging import get_logger

_log = get_logger("report-archive")

#: The id of the newest report, whichever that is.
LATEST = "latest"
MANIFEST = "manifest.json"
_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{8}")
_UNFINISHED = ".new-"
#: A folder that was left behind by a process that died is removed when it is older; no report takes that long.
_LEFT_BEHIND_S = 86_400


class ReportArchive:
    """root: the folder; made when the first report comes. Safe for several processes at once."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._root = root
        self._clock = clock or SystemClock()

    def put(self, report: pb.DailyReport, files: Mapping[str, bytes]) -> pb.DailyReport:
        """Keeps a report. report: without files; the answer has those that are kept now, of an earlier making of the same report included."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        target = self._root / report.id
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._root))
        try:
            kept = self._write(folder, report, files, self._files_of(report.id))
            try:
                folder.rename(target)
            except OSError:
                if not (target / MANIFEST).exists():
                    raise
                self._add_to(target, folder)
        finally:
            _remove(folder)
        return kept

    def _files_of(self, report_id: str) -> list[pb.ReportFile]:
        try:
            return list(self.get(report_id).files)
        except ReportNotFound:
            return []

    @staticmethod
    def _write(folder: Path, report: pb.DailyReport, files: Mapping[str, bytes], before: Sequence[pb.ReportFile]) -> pb.DailyReport:
        # mkdtemp keeps others out; the archive is for whoever may read the data folder.
        folder.chmod(0o755)
        rows = {item.name: item for item in before}
        for name, data in files.items():
            _write_synced(folder / name, data)
            rows[name] = pb.ReportFile(name=name, content_type=CONTENT_TYPES[name], size_bytes=len(data), sha256=sha256(data).hexdigest())
        kept = pb.DailyReport()
        kept.CopyFrom(report)
        kept.ClearField("files")
        kept.files.extend(rows[name] for name in CONTENT_TYPES if name in rows)
        _write_synced(folder / MANIFEST, MessageToJson(kept, preserving_proto_field_name=True, always_print_fields_with_no_presence=True).encode() + b"\n")
        return kept

    @staticmethod
    def _add_to(target: Path, folder: Path) -> None:
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == MANIFEST, path.name)):
            path.replace(target / path.name)

    def _sweep(self) -> None:
        limit_s = self._clock.now_ns() / 1e9 - _LEFT_BEHIND_S
        for folder in self._root.glob(f"{_UNFINISHED}*"):
            if folder.stat().st_mtime < limit_s:
                _remove(folder)

    def get(self, report_id: str) -> pb.DailyReport:
        """A report. report_id: or `latest`. Raises InvalidArgument (malformed), ReportNotFound."""
        if report_id == LATEST:
            newest = next(iter(self.list()), None)
            if newest is None:
                raise ReportNotFound(LATEST)
            return newest
        found = self._manifest(self._folder(report_id))
        if found is None:
            raise ReportNotFound(report_id)
        return found

    def list(self) -> list[pb.DailyReport]:
        """All, newest first: by date, then by when the input was recorded, then by id."""
        found = list(self._manifests())
        found.sort(key=lambda item: (item.date, item.recorded_at.ToNanoseconds(), item.id), reverse=True)
        return found

    def _manifests(self) -> Iterator[pb.DailyReport]:
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if _ID.fullmatch(folder.name) and (found := self._manifest(folder)) is not None:
                yield found

    @staticmethod
    def _manifest(folder: Path) -> pb.DailyReport | None:
        try:
            return Parse((folder / MANIFEST).read_bytes(), pb.DailyReport(), ignore_unknown_fields=True)
        except FileNotFoundError:
            return None
        except ParseError as error:
            # Somebody's editing: one report that cannot be read must not hide the others.
            _log.warning("manifest cannot be read", path=str(folder / MANIFEST), error=str(error))
            return None

    def path(self, report_id: str, name: str) -> tuple[Path, pb.ReportFile]:
        """Where a file of a report is. Raises InvalidArgument, ReportNotFound."""
        report = self.get(report_id)
        found = next((item for item in report.files if item.name == name), None)
        if found is None:
            raise ReportNotFound(f"{report.id}/{name}")
        return self._folder(report.id) / name, found

    def input_of(self, report_id: str) -> bytes:
        """The recorded input of a report. Raises InvalidArgument, ReportNotFound."""
        return self.path(report_id, INPUT.name)[0].read_bytes()

    def _folder(self, report_id: str) -> Path:
        if not _ID.fullmatch(report_id):
            raise InvalidArgument("id", report_id, "a report's id as in 2013-03-01-4f1c2a9b, or latest")
        return self._root / report_id


def archive_in(home: Path, clock: Clock | None = None) -> ReportArchive:
    """The archive of an installation. home: its data folder."""
    return ReportArchive(home / "reports", clock)


def _remove(folder: Path) -> None:
    """An unfinished folder. That it cannot be removed is no reason to fail, but it takes room that somebody will miss."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        # It has got its name, or another process swept it away.
        return
    except OSError as error:
        _log.warning("unfinished folder cannot be removed", path=str(folder), error=str(error))


def _write_synced(path: Path, data: bytes) -> None:
    """On the disk before the folder gets its name: after a crash there is a whole report or none."""
    with path.open("wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
