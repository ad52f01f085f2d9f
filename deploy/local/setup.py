"""Brings a clone into the state in which the stack can start; quick when it is there already.

The virtual environment itself is the Makefile's business: this runs inside it. What is left are a
few slow steps that have nothing to do with each other, so they run side by side.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local import protos
from deploy.local.broker import jars_dir
from deploy.local.child import Child
from deploy.local.ending import Ending
from deploy.local.errors import SetupError
from deploy.local.jars import CHECKSUMS, cached_folder
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings
from deploy.local.warm_up import KERNEL_MODULES


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the set-up, a process of its own, that runs again only when its inputs changed."""

    name: str
    """What the person sees; key in the stamp file."""

    command: list[str]
    """Does it; exit code 0 when it is done."""

    inputs: Callable[[], Iterable[Path]]
    """Files whose content decides whether it must be done again."""

    outputs: tuple[Path, ...] = ()
    """Files it makes; when one is missing it is done again."""

    salt: str = ""
    """What else decides, besides the inputs."""


def prepare(settings: StackSettings, progress: Progress, ending: Ending, repository: Path = REPOSITORY) -> None:
    """Everything that `make run` needs besides the virtual environment. Raises SetupError; Stopped when asked to end."""
    with progress.step("Generating stubs from protos/"):
        protos.generate(repository)
    runner = StepRunner(settings.run / "setup.json", settings.run, repository, settings.child_environment())
    runner.run(stack_steps(settings, repository), progress, ending)


def stack_steps(settings: StackSettings, repository: Path) -> list[Step]:
    """The slow steps of this stack's set-up."""

    def sources(*folders: str) -> Callable[[], list[Path]]:
        return lambda: [repository / "uv.lock", *sorted(path for folder in folders for path in (repository / folder).rglob("*.py"))]

    code = ("services", "gateway", "deploy", "gen")
    python, tables = sys.executable, settings.home / "tables" / "sessions.npz"
    steps = [
        # Without it every process would compile the same modules at the same time at its first start.
        Step("bytecode", [python, "-m", "compileall", "-q", *code], sources(*code)),
        *(Step(name, [python, "-m", "deploy.local.warm_up", module], sources("services")) for name, module in KERNEL_MODULES.items()),
        Step(
            "session tables",
            [python, "-m", "services.prices.sessions", "--build"],
            lambda: [repository / "uv.lock", repository / "services" / "prices" / "sessions.py"],
            outputs=(tables,),
            # The table ends with the next year.
            salt=str(datetime.now(UTC).year),
        ),
    ]
    if settings.kafka is None:
        folder = jars_dir(settings.home)
        fetch = [python, "-m", "deploy.local.jars", str(folder)]
        steps.append(Step("Apache Kafka (41 MB, once)", fetch, lambda: [CHECKSUMS], outputs=(cached_folder(folder),)))
    return steps


class StepRunner:
    """Runs the steps that are due, all at once, and remembers those that succeeded.

    stamp: a JSON file, name -> digest of what it was made from. log_folder: one log per step.
    """

    def __init__(self, stamp: Path, log_folder: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self._stamp = stamp
        self._log_folder = log_folder
        self._cwd = cwd
        self._env = env

    def run(self, steps: Iterable[Step], progress: Progress, ending: Ending) -> list[str]:
        """Returns the names of the steps that ran. On the first failure the others are killed.

        Raises SetupError with the step's own words; Stopped when asked to end.
        """
        digests = [(step, _digest(step)) for step in steps]
        due = {step.name: digest for step, digest in digests if not self._is_done(step, digest)}
        running: dict[str, Child] = {}
        try:
            for step, _ in digests:
                if step.name in due:
                    running[step.name] = self._start(step)
            with progress.step(f"Preparing {', '.join(running)}", done=f"{', '.join(running)} prepared"):
                self._finish(running, due, progress, ending)
        finally:
            for child in running.values():
                child.kill()
        return list(due)

    def _finish(self, running: Mapping[str, Child], due: Mapping[str, str], progress: Progress, ending: Ending) -> None:
        left = dict(running)
        while left:
            for name, child in list(left.items()):
                code = child.exit_code()
                if code == 0:
                    del left[name]
                    self._note_done(name, due[name])
                elif code is not None:
                    raise SetupError(f"{name} could not be prepared:\n{child.last_lines(20)}", f"the whole log is {child.log_path}")
            progress.update(f"Preparing {', '.join(left)}")
            ending.raise_if_requested()
            if left:
                ending.wait(0.05)

    def _start(self, step: Step) -> Child:
        log = self._log_folder / f"setup-{re.sub('[^a-z]+', '-', step.name.lower()).strip('-')}.log"
        log.unlink(missing_ok=True)
        return Child.start(step.name, step.command, log_path=log, env=self._env, cwd=self._cwd)

    def _is_done(self, step: Step, digest: str) -> bool:
        return self._done().get(step.name) == digest and all(path.exists() for path in step.outputs)

    def _done(self) -> dict[str, str]:
        done: dict[str, str] = json.loads(self._stamp.read_text()) if self._stamp.exists() else {}
        return done

    def _note_done(self, name: str, digest: str) -> None:
        self._stamp.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self._done(), name: digest}, indent=2))
        temporary.replace(self._stamp)


def _digest(step: Step) -> str:
    digest = hashlib.sha256(json.dumps([sys.version, step.salt, step.command]).encode())
    for path in step.inputs():
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
