"""Each block of docs/clients.md and the commands of the README, run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import chromium
from tests.e2e.conftest import Stack, signalbox
from tests.servers import REPOSITORY

_BLOCK = re.compile(r"```(?:python|sh|html)\n(?:#|<!--) file: (\S+)(?: -->)?\n(.*?)```", re.DOTALL)
_GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


def blocks() -> dict[str, str]:
    """File name to text of each block of the page."""
    return dict(_BLOCK.findall((REPOSITORY / "docs" / "clients.md").read_text(encoding="utf-8")))


def for_stack(text: str, stack: Stack) -> str:
    """The block with the ports of this stack instead of the usual ones."""
    return text.replace("127.0.0.1:8080", stack.edge).replace("127.0.0.1:19092", stack.bootstrap)


def run(command: list[str], env: dict[str, str], folder: Path) -> str:
    """Runs a block; returns what it printed."""
    done = subprocess.run(command, env=env, cwd=folder, text=True, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def grpcurl_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which grpcurl is; built with Go when it is not there."""
    if shutil.which("grpcurl"):
        return os.environ["PATH"]
    if not shutil.which("go"):
        if os.environ.get("CI"):
            pytest.fail("grpcurl is not on the PATH and there is no Go to build it with")
        pytest.skip("grpcurl is not on the PATH and there is no Go to build it with")
    folder = tmp_path_factory.mktemp("bin")
    subprocess.run(["go", "install", _GRPCURL], env=os.environ | {"GOBIN": str(folder)}, check=True, capture_output=True, timeout=280)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("client_grpc.py", ["price ES.XCME", "SOURCE_KIND_REPLAY", "indicator sma_20", "indicator rsi_14", "live bar ES.XCME"]),
        ("client_ingest.py", ["accepted 100 rejected 0"]),
        ("client_kafka.py", ["close"]),
        ("client_reconnect.py", ["bar ES.XCME", "bars, each once and in order: True"]),
        ("client_work.py", ["job ", " succeeded ", "news "]),
    ],
)
def test_python_client(stack: Stack, tmp_path: Path, name: str, expected: list[str]) -> None:
    script = tmp_path / name
    script.write_text(for_stack(blocks()[name], stack), encoding="utf-8")
    printed = run([sys.executable, str(script)], stack.env, tmp_path)
    assert all(text in printed for text in expected), printed


def test_rest(stack: Stack, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not on the PATH")
    printed = run(["bash", "-euo", "pipefail", "-c", for_stack(blocks()["rest.sh"], stack)], stack.env, tmp_path)
    for text in ('"ES.XCME"', '"AAPL.XNAS"', "SOURCE_KIND_REPLAY", "sma_20", "prices-worker"):
        assert text in printed, printed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jobs.sh", ["JOB_STATE_SUCCEEDED", "AnalyzeManyResult", "history.collect", "nightly-analysis", "RUN_STATE_"]),
        ("reports.sh", ['"2011-08-08"', "report.pdf"]),
        ("news.sh", ["Federal Reserve", "FEED_HEALTH_RECORDED"]),
    ],
)
def test_work_and_news(stack: Stack, tmp_path: Path, name: str, expected: list[str]) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not on the PATH")
    printed = run(["bash", "-euo", "pipefail", "-c", for_stack(blocks()[name], stack)], stack.env, tmp_path)
    for text in expected:
        assert text in printed, printed
    if name == "reports.sh":
        assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
        assert "AAPL" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rest_error_has_its_http_code(stack: Stack, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not on the PATH")
    printed = run(["curl", "-sS", "-o", "body.json", "-w", "%{http_code}", f"{stack.base_url}/v1/prices/NOBODY.XNAS"], stack.env, tmp_path)
    assert printed == "404"
    assert "NOBODY.XNAS" in (tmp_path / "body.json").read_text(encoding="utf-8")


def test_grpcurl(stack: Stack, tmp_path: Path, grpcurl_path: str) -> None:
    text = for_stack(blocks()["grpcurl.sh"], stack)
    printed = run(["bash", "-euo", "pipefail", "-c", text], stack.env | {"PATH": grpcurl_path}, tmp_path)
    for expected in (
        "signalbox.prices.v1.PricesService",
        "signalbox.analysis.v1.AnalysisService",
        "signalbox.edge.v1.SubscriptionService",
        "SERVING",
        "CleanCacheResult",
        "daily-report",
    ):
        assert expected in printed, printed


@pytest.mark.browser
def test_javascript_in_a_browser(stack: Stack) -> None:
    html = for_stack(blocks()["browser.html"], stack)
    with chromium() as browser:
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_content(html)
        page.wait_for_function("document.getElementById('log').textContent.includes('bar ES.XCME')", timeout=60_000)
        page.wait_for_function("document.getElementById('log').textContent.includes('(replay)')", timeout=60_000)
        assert not problems


#: Commands of the README that would go on for ever, or need a file of one's own.
_ENDLESS = {"watch": ["--limit", "1"]}
_WITH_A_FILE = {"replay"}
_README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
_COMMANDS = re.findall(r"`\.venv/bin/signalbox ([^`]+)`", _README)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_of_the_readme(stack: Stack, command: str) -> None:
    arguments = shlex.split(command)
    if arguments[0] in _WITH_A_FILE:
        arguments = [arguments[0], "--help"]
    # What would open a browser starts the program `true` instead.
    done = signalbox({**stack.env, "BROWSER": "true"}, *arguments, *_ENDLESS.get(arguments[0], []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_the_readme_names_the_commands_and_targets_that_are() -> None:
    assert {command.split()[0] for command in _COMMANDS} == {"watch", "replay", "report", "schedule", "job", "news"}
    made = set(re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)`", _README)) <= made
    assert {"run", "test"} <= set(re.findall(r"^make ([a-z-]+)$", _README, re.MULTILINE))
    assert all((REPOSITORY / link).exists() for link in re.findall(r"\]\((?!http)([^)#]+)", _README))
