"""`gen/` from `protos/`: Python stubs, their types, and the descriptor set for Envoy's transcoder.

Run as `python -m deploy.local.protos`. Does nothing, quickly, when nothing changed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from deploy.local.errors import SetupError
from deploy.local.settings import REPOSITORY

#: Every message and service with imports and comments, for Envoy and for documentation.
DESCRIPTOR_SET = "signalbox.binpb"

_STAMP = ".stamp.json"


def generate(repository: Path = REPOSITORY) -> bool:
    """Bring `gen/` up to date. True when something was generated.

    The new tree replaces the old one by a rename, so a reader never sees half of it.
    Raises SetupError with the compiler's own words when a proto is wrong.
    """
    out = repository / "gen"
    sources = sorted((repository / "protos" / "signalbox").rglob("*.proto"))
    if not sources:
        raise SetupError(f"there are no .proto files under {repository / 'protos'}", "is the clone complete?")
    digest, plugin = _digest(repository, sources), typed_grpc_plugin()
    if _is_current(out / _STAMP, digest, wants_types=plugin is not None):
        return False
    (repository / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gen-", dir=repository / "build") as staging_name:
        staging = Path(staging_name) / "new"
        staging.mkdir()
        _run_protoc(repository / "protos", sources, staging, plugin)
        (staging / _STAMP).write_text(json.dumps({"digest": digest, "typed": plugin is not None}))
        _replace(out, staging, Path(staging_name) / "old")
    _make_importable(out)
    return True


def typed_grpc_plugin() -> Path | None:
    """mypy-protobuf's generator of types for gRPC stubs; a development package, so it may be absent."""
    beside_python = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    return beside_python if beside_python.exists() else None


def _digest(repository: Path, sources: list[Path]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sources:
        digest.update(path.relative_to(repository).as_posix().encode() + b"\0" + path.read_bytes())
    for package in ("grpcio-tools", "googleapis-common-protos"):
        digest.update(metadata.version(package).encode())
    return digest.hexdigest()


def _is_current(stamp: Path, digest: str, *, wants_types: bool) -> bool:
    if not stamp.exists():
        return False
    state = json.loads(stamp.read_text())
    # Stubs with types serve an environment without the plugin too.
    return bool(state["digest"] == digest and (state["typed"] or not wants_types))


def _run_protoc(root: Path, sources: list[Path], out: Path, plugin: Path | None) -> None:
    google = Path(str(metadata.distribution("googleapis-common-protos").locate_file("")))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", f"-I{_renamed(google, out)}", f"-I{google}"]
    command += [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if plugin is not None:
        command += [f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out={out}"]
    command += [f"--descriptor_set_out={out / DESCRIPTOR_SET}", "--include_imports", "--include_source_info"]
    result = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(f"protoc refused the protos:\n{result.stderr.strip()}", "`make lint` checks them with buf")


def _renamed(google: Path, out: Path) -> Path:
    """A folder with operations.proto under its own name: the package's file is called operations_proto.proto, its compiled module registers the right one."""
    folder = out.with_name("google-protos")
    operations = folder / "google" / "longrunning" / "operations.proto"
    operations.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(google / "google" / "longrunning" / "operations_proto.proto", operations)
    return folder


def _replace(out: Path, new: Path, grave: Path) -> None:
    if out.exists():
        out.rename(grave)
    try:
        new.rename(out)
    except OSError:
        if grave.exists() and not out.exists():
            grave.rename(out)
        raise
    shutil.rmtree(grave, ignore_errors=True)


def _make_importable(out: Path) -> None:
    # Python leaves out of sys.path what did not exist when it started, and on a fresh clone `gen/` did not.
    if str(out) not in sys.path:
        sys.path.append(str(out))
    importlib.invalidate_caches()


def main() -> int:
    """Command line entry: 0 when `gen/` is up to date, 1 with the reason on stderr."""
    try:
        changed = generate()
    except SetupError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    print("gen/ generated" if changed else "gen/ is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
