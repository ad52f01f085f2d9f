"""What the supervisor says of a process that does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.probes import Finding, Probe, down, explained


def asked(finding: Finding) -> Probe:
    async def probe() -> Finding:
        return finding

    return probe


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"processes": [{"name": "news-worker", "why": "it ended with exit code 2"}, {"name": "feeds", "why": ""}]}))
    return path


async def test_a_process_that_does_not_answer_has_its_end_explained(state: Path) -> None:
    assert (await explained(asked(down("refused")), "news-worker", state)()).detail == "refused; it ended with exit code 2"
    for name in ("feeds", "nobody"):
        assert (await explained(asked(down("refused")), name, state)()).detail == "refused"


async def test_one_that_answers_speaks_for_itself(state: Path) -> None:
    finding = Finding(answers=True, ready=False, detail="lifecycle: stopping")
    assert await explained(asked(finding), "news-worker", state)() == finding


async def test_without_a_supervisor_nothing_is_added(tmp_path: Path) -> None:
    assert (await explained(asked(down("refused")), "news-worker", None)()).detail == "refused"
    assert (await explained(asked(down("refused")), "news-worker", tmp_path / "gone.json")()).detail == "refused"
