"""The set-up's steps are real processes: run once, side by side, and stopped when one fails or the end is asked for."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local.ending import Ending, Stopped
from deploy.local.errors import SetupError
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings
from deploy.local.setup import Step, StepRunner, stack_steps
from tests.servers import processes_of


def python(folder: Path, name: str, code: str, *, outputs: tuple[Path, ...] = ()) -> Step:
    return Step(name, [sys.executable, "-c", code], lambda: [folder / "source"], outputs)


@pytest.fixture
def runner(tmp_path: Path) -> StepRunner:
    (tmp_path / "source").write_text("one")
    return StepRunner(tmp_path / "stamp.json", tmp_path / "logs", tmp_path, {**os.environ, "SIGNALBOX_HOME": str(tmp_path)})


def progress() -> Progress:
    return Progress(Console(file=io.StringIO()))


def test_a_step_runs_again_only_when_something_changed(tmp_path: Path, runner: StepRunner) -> None:
    made = tmp_path / "made"
    steps = [python(tmp_path, "one", "open('made', 'a').write('x')", outputs=(made,)), python(tmp_path, "two", "")]
    assert runner.run(steps, progress(), Ending()) == ["one", "two"]
    assert runner.run(steps, progress(), Ending()) == []
    (tmp_path / "source").write_text("two")
    assert runner.run(steps, progress(), Ending()) == ["one", "two"]
    assert made.read_text() == "xx"
    made.unlink()
    assert runner.run(steps, progress(), Ending()) == ["one"]


def test_a_failure_is_told_in_its_own_words_and_the_others_are_stopped(tmp_path: Path, runner: StepRunner) -> None:
    steps = [python(tmp_path, "slow", "import signal; signal.pause()"), python(tmp_path, "bad", "raise SystemExit('no cheese')"), python(tmp_path, "good", "")]
    with pytest.raises(SetupError, match=r"(?s)bad could not be prepared.*no cheese"):
        runner.run(steps, progress(), Ending())
    assert processes_of(tmp_path) == []


def test_what_failed_is_tried_again(tmp_path: Path, runner: StepRunner) -> None:
    step = python(tmp_path, "bad", "raise SystemExit(1)")
    for _ in range(2):
        with pytest.raises(SetupError):
            runner.run([step], progress(), Ending())


def test_ctrl_c_during_the_set_up_leaves_nothing(tmp_path: Path, runner: StepRunner) -> None:
    ending = Ending()
    threading.Timer(0.3, ending.request).start()
    with pytest.raises(Stopped):
        runner.run([python(tmp_path, "slow", "import signal; signal.pause()")], progress(), ending)
    assert processes_of(tmp_path) == []


def test_a_named_broker_needs_no_jars(tmp_path: Path) -> None:
    env = {"SIGNALBOX_HOME": str(tmp_path)}
    with_jars = {step.name for step in stack_steps(StackSettings.from_environment(env), REPOSITORY)}
    without = {step.name for step in stack_steps(StackSettings.from_environment({**env, "KAFKA_BOOTSTRAP_SERVERS": "k:9092"}), REPOSITORY)}
    assert with_jars - without == {"Apache Kafka (41 MB, once)"}
