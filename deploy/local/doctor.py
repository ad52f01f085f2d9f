"""`signalbox doctor`: what is missing or in the way, and what to do about it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from deploy.local import envoy, lock, preflight, processes
from deploy.local.broker import jars_dir
from deploy.local.configuration import checked
from deploy.local.errors import StackError
from deploy.local.jars import CHECKSUMS, cached_folder, read_checksums, verify
from deploy.local.ports import PortUse, check_free
from deploy.local.settings import REPOSITORY, StackSettings
from deploy.local.valkey import server_binary
from services.runtime.setting_types import without_passwords


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    """What to do; empty when nothing needs to be done."""


def examine() -> list[Finding]:
    """Look at everything. Never raises for what it finds."""
    first = [_python(), _platform()]
    try:
        settings, _ = checked(StackSettings.from_environment, processes.partitions)
    except StackError as error:
        return [*first, _bad("settings", error)]
    first.append(Finding("settings", True, f"data folder {settings.home}"))
    running = lock.holder(settings.run)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("data folder", lambda: _folder(settings)),
        ("disk", lambda: _disk(settings)),
        ("stubs", _stubs),
        ("kafka", lambda: _kafka(settings)),
        ("valkey", lambda: _valkey(settings)),
        ("envoy", lambda: str(envoy.binary())),
        ("running", lambda: f"a stack runs, pid {running}" if running else "no stack runs on this folder"),
    ]
    ports = [] if running else settings.used_ports()
    return [*first, *(_look(name, check) for name, check in checks), *(_port(use) for use in ports), _chromium()]


def _look(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except StackError as error:
        return _bad(name, error)


def _bad(name: str, error: StackError) -> Finding:
    return Finding(name, False, error.message, error.hint)


def _folder(settings: StackSettings) -> str:
    preflight.check_folder(settings.home)
    return f"{settings.home} can be written"


def _disk(settings: StackSettings) -> str:
    preflight.check_disk(settings.home)
    return f"{shutil.disk_usage(settings.home).free / 1024**3:.0f} GiB free"


def _python() -> Finding:
    return Finding("python", sys.version_info >= (3, 11), platform.python_version(), "" if sys.version_info >= (3, 11) else "install 3.11 or newer")


def _platform() -> Finding:
    known = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}
    hint = "" if known else "the programs of the embedded stack are tried on Linux only"
    return Finding("platform", known, f"{platform.system()} {platform.machine()}", hint)


def _stubs() -> str:
    if not (REPOSITORY / "gen" / "signalbox").exists():
        raise StackError("gen/ is missing", "`make protos` makes it; `make run` does so by itself")
    return "gen/ is there"


def _kafka(settings: StackSettings) -> str:
    if settings.kafka is not None:
        preflight.check_kafka(settings)
        return f"{settings.kafka} answers"
    folder = cached_folder(jars_dir(settings.home), CHECKSUMS)
    if folder.exists():
        verify(folder, read_checksums())
        return f"embedded, jars checked in {folder}"
    preflight.check_network()
    return "embedded, its jars are fetched by the next start"


def _valkey(settings: StackSettings) -> str:
    if settings.redis is not None:
        preflight.check_redis(settings)
        return f"{without_passwords(settings.redis)} answers"
    return f"embedded, {server_binary()}"


def _port(use: PortUse) -> Finding:
    try:
        check_free(use)
    except StackError as error:
        return _bad(f"port {use.port}", error)
    return Finding(f"port {use.port}", True, f"free for {use.what}")


def _chromium() -> Finding:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return Finding("chromium", True, found or "not found: browser tests are skipped, nothing else needs it")
