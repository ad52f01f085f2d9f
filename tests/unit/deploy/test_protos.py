"""Stubs are generated once, anew when a proto changes, and a wrong proto keeps the old ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.errors import SetupError
from deploy.local.protos import DESCRIPTOR_SET, generate
from deploy.local.settings import REPOSITORY

PROTO = 'syntax = "proto3";\n// A test.\npackage signalbox.demo.v1;\nimport "google/api/annotations.proto";\nmessage Demo { int64 number = 1; }\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    proto = tmp_path / "protos" / "signalbox" / "demo" / "v1" / "demo.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(PROTO)
    return tmp_path


def test_on_a_fresh_clone_the_stubs_can_be_imported_at_once(clone: Path) -> None:
    code = "import sys; from pathlib import Path; from deploy.local.protos import generate; generate(Path(sys.argv[1])); from signalbox import fresh_pb2"
    proto = clone / "protos" / "signalbox" / "fresh.proto"
    proto.write_text('syntax = "proto3";\nmessage Fresh { int64 number = 1; }\n')
    result = subprocess.run([sys.executable, "-c", code, str(clone)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_generates_once_and_again_after_a_change(clone: Path) -> None:
    assert generate(clone)
    assert not generate(clone)
    proto = next(clone.rglob("demo.proto"))
    proto.write_text(PROTO + "message Second {}\n")
    assert generate(clone)
    assert "Second" in (clone / "gen/signalbox/demo/v1/demo_pb2.pyi").read_text()


def test_the_descriptor_set_holds_imports_for_the_transcoder(clone: Path) -> None:
    generate(clone)
    content = (clone / "gen" / DESCRIPTOR_SET).read_bytes()
    assert b"google/api/annotations.proto" in content
    assert b"A test." in content


def test_a_wrong_proto_is_refused_and_the_old_stubs_stay(clone: Path) -> None:
    generate(clone)
    next(clone.rglob("demo.proto")).write_text(PROTO + "message Broken { int65 number = 1; }\n")
    with pytest.raises(SetupError, match="int65"):
        generate(clone)
    assert (clone / "gen/signalbox/demo/v1/demo_pb2.py").exists()


def test_a_clone_without_protos_says_so(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no \.proto files"):
        generate(tmp_path)
