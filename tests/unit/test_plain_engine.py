"""The kernels as plain Python give the same bytes as compiled."""

import os
import subprocess
import sys

from tests.servers import REPOSITORY


def run(engine: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.engine_digest"],
        cwd=REPOSITORY,
        env=os.environ | {"SIGNALBOX_ENGINE": engine},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_both_engines_give_the_same_outputs_and_states() -> None:
    compiled, plain = run("compiled"), run("plain")
    assert (compiled[0], plain[0]) == ("compiled", "plain")
    assert compiled[1:] == plain[1:]
    assert int(compiled[1]) > 50
