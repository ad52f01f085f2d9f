"""Brings a clone into the state in which the stack can start; quick when it is there already.

The virtual environment itself is the Makefile's business: this runs inside it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local import protos
from deploy.local.broker import jars_dir
from deploy.local.errors import SetupError
from deploy.local.jars import ensure_jars
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the set-up that is done again only when its inputs changed."""

    name: str
    """Key in the stamp file."""

    text: str
    """What the person sees."""

    inputs: Callable[[], Iterable[Path]]
    """Files whose content decides whether it must be done again."""

    run: Callable[[], None]
    """Does it. Raises SetupError."""

    outputs: tuple[Path, ...] = ()
    """Files it makes; when one is missing it is done again."""

    salt: str = ""
    """What else decides, besides the inputs."""


def prepare(settings: StackSettings, progress: Progress, repository: Path = REPOSITORY) -> None:
    """Everything that `make run` needs besides the virtual environment. Raises SetupError."""
    with progress.step("Generating stubs from protos/"):
        protos.generate(repository)
    if settings.kafka is None:
        with progress.step("Fetching Apache Kafka (41 MB, once)"):
            ensure_jars(jars_dir(settings.home))
    for step in _steps(settings, repository):
        run_once(step, settings.run / "setup.json", progress)


def run_once(step: Step, stamp: Path, progress: Progress) -> bool:
    """Run `step` unless its inputs are as they were when it last succeeded. True when it ran."""
    done: dict[str, str] = json.loads(stamp.read_text()) if stamp.exists() else {}
    digest = _digest(step.inputs(), step.salt)
    if done.get(step.name) == digest and all(path.exists() for path in step.outputs):
        return False
    with progress.step(step.text):
        step.run()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    temporary = stamp.with_suffix(".tmp")
    temporary.write_text(json.dumps({**done, step.name: digest}, indent=2))
    temporary.replace(stamp)
    return True


def _steps(settings: StackSettings, repository: Path) -> list[Step]:
    def sources(*folders: str) -> list[Path]:
        files = (path for folder in folders for path in (repository / folder).rglob("*.py"))
        return [repository / "uv.lock", *sorted(files)]

    def python(*arguments: str) -> Callable[[], None]:
        return lambda: _run_python(arguments, settings, repository)

    folders = ("services", "gateway", "deploy", "gen")
    return [
        # Without it every process would compile the same modules at the same time at its first start.
        Step("bytecode", "Compiling Python modules", lambda: sources(*folders), python("-m", "compileall", "-q", *folders)),
        Step("kernels", "Compiling kernels", lambda: sources("services"), python("-m", "deploy.local.warm_up")),
        Step(
            "sessions",
            "Building session tables",
            lambda: [repository / "uv.lock", repository / "services" / "prices" / "sessions.py"],
            python("-m", "services.prices.sessions", "--build"),
            outputs=(settings.home / "tables" / "sessions.npz",),
            # The table ends with the next year.
            salt=str(datetime.now(UTC).year),
        ),
    ]


def _digest(files: Iterable[Path], salt: str) -> str:
    digest = hashlib.sha256(f"{sys.version}\0{salt}".encode())
    for path in files:
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _run_python(arguments: tuple[str, ...], settings: StackSettings, repository: Path) -> None:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=repository,
        env=settings.child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        said = (result.stdout + result.stderr).strip()[-3000:]
        raise SetupError(f"`python {' '.join(arguments)}` failed:\n{said}")
