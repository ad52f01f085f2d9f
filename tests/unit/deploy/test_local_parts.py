"""The small parts of the embedded stack that need no server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from signalbox.reports.v1 import reports_service_pb2 as pb

from deploy.local import doctor, logs, preflight, stack, watch
from deploy.local.child import describe_exit, tail
from deploy.local.errors import DiskFull, FolderNotWritable, SettingError, StackError
from deploy.local.jars import cached_folder, read_checksums
from deploy.local.run import run_seconds
from deploy.local.settings import REPOSITORY, StackSettings
from services.reports.daily.archive import archive_in


def settings(home: Path) -> StackSettings:
    return StackSettings.from_environment({"SIGNALBOX_HOME": str(home)})


def test_the_checksums_name_kafka_itself() -> None:
    checksums = read_checksums()
    assert "kafka_2.13-4.3.1.jar" in checksums
    assert "kafka-clients-4.3.1.jar" in checksums
    assert all(len(digest) == 64 for digest in checksums.values())


def test_other_checksums_are_another_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("y")
    assert cached_folder(tmp_path, tmp_path / "a") != cached_folder(tmp_path, tmp_path / "b")


def test_exit_codes_in_words() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(-200) == "signal 200"
    assert describe_exit(None) == "no exit code"


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log, 2) == "    (no log)"
    log.write_text("")
    assert tail(log, 2) == "    (its log is empty)"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert tail(log, 2) == "    line 49998\n    line 49999"


def test_a_long_log_is_cut_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789\n")
        assert not logs.cap(log, max_bytes=100)
        assert logs.cap(log, max_bytes=5)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"0123456789\n"


def test_each_run_begins_its_own_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    logs.turn_over(log)
    log.write_text("first run")
    logs.turn_over(log)
    assert not log.exists()
    assert (tmp_path / "x.log.1").read_text() == "first run"


def test_a_full_disk(tmp_path: Path) -> None:
    preflight.check_disk(tmp_path, free_bytes=lambda _: preflight.NEEDED_FREE_BYTES)
    with pytest.raises(DiskFull, match=r"1\.0 GiB are free under .*, 2\.0 GiB are needed"):
        preflight.check_disk(tmp_path, free_bytes=lambda _: 1024**3)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderNotWritable, match="cannot be written"):
        preflight.check_folder(tmp_path / "file" / "home")
    preflight.check_folder(tmp_path / "new" / "home")


def test_run_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUN_SECONDS", raising=False)
    assert run_seconds() is None
    monkeypatch.setenv("RUN_SECONDS", "2.5")
    assert run_seconds() == 2.5
    for wrong in ("0", "-1", "nan", "inf", "soon"):
        monkeypatch.setenv("RUN_SECONDS", wrong)
        with pytest.raises(SettingError, match="RUN_SECONDS"):
            run_seconds()


def test_reset_removes_data_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("kafka", "logs", "jars", "holiday-photos"):
        (tmp_path / name).mkdir()
    assert {path.name for path in stack.reset(settings(tmp_path))} == {"kafka", "logs"}
    assert {path.name for path in tmp_path.iterdir()} == {"jars", "holiday-photos"}


def test_reset_of_a_used_folder_leaves_kafkas_jars_only(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    archive_in(tmp_path).put(pb.DailyReport(id="2013-03-01-4f1c2a9b", date="2013-03-01"), {"report.json": b"{}"})
    for name in ("kafka", "valkey", "envoy", "logs", "run", "tables", "faust"):
        (tmp_path / name / "inside").mkdir(parents=True)
    stack.reset(settings(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"jars"}


def test_following_logs_gives_whole_lines_and_survives_a_cut(tmp_path: Path) -> None:
    log = tmp_path / "prices.log"
    log.write_text("before\n")
    looks = iter(["one\ntw", "o\n", None, "fresh\n"])

    def next_look() -> None:
        text = next(looks)
        if text is None:
            log.write_text("")
        else:
            with log.open("a") as file:
                file.write(text)

    lines = stack.follow([log], pause=next_look)
    assert [next(lines) for _ in range(3)] == [("prices", "one"), ("prices", "two"), ("prices", "fresh")]


def test_status_when_nothing_runs(tmp_path: Path) -> None:
    found = stack.status(settings(tmp_path))
    assert found.as_json() == {"pid": None, "processes": [], "ready": False, "running": False}


def test_watch_asks_for_what_was_named() -> None:
    request = watch.subscription(["ES.XCME"], ["bars", "signals"], "1m", 5)
    assert request == {"action": "subscribe", "id": "watch", "interval": "1m", "history": 5, "bars": ["ES.XCME"], "signals": ["ES.XCME"]}
    with pytest.raises(StackError, match="was 'quotes'"):
        watch.subscription(["ES.XCME"], ["quotes"], "1m", 0)


def test_watch_says_where_data_comes_from() -> None:
    bar = {"T": "bar", "S": "ES.XCME", "i": "1m", "t": 0, "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10, "source": "replay"}
    assert watch.line(bar) == "1970-01-01 00:00:00.000  ES.XCME    bar      1m  O 1  H 2  L 0.5  C 1.5  V 10  [replay]"
    assert watch.line({"T": "heartbeat", "last_seq": 1}) is None
    assert watch.as_json({"T": "welcome"}) is None


def test_the_doctor_reports_a_wrong_setting_and_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_EDGE_PORT", "http")
    finding = doctor.examine()[-1]
    assert (finding.name, finding.ok) == ("settings", False)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = {line.split()[1] for line in makefile.splitlines() if line.startswith(".PHONY:")}
    assert {"run", "up", "status", "logs", "down", "reset", "protos", "lint", "test", "test-data", "bench", "doctor"} <= targets
    assert {target for target in targets if f"make {target} " not in listed} == set()
