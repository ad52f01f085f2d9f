"""The embedded Kafka is a real broker that keeps what it was given."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local.broker import EmbeddedBroker, cluster_id_at
from deploy.local.child import Child
from deploy.local.errors import ChecksumError, ProcessDied, SetupError, Unreachable
from deploy.local.jars import ensure_jars, read_checksums, verify
from deploy.local.ports import is_free
from tests.ports import free_ports
from tests.servers import new_broker, shared_jars_dir


def create_topic(bootstrap: str, name: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])[name].result(timeout=20)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-of-{topic}",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe([topic])
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_records_survive_an_orderly_restart_and_a_kill(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    with broker:
        create_topic(broker.bootstrap, "kept")
        produce(broker.bootstrap, "kept", [b"one", b"two"])
    assert broker.why_not_ready() is not None
    with broker:
        assert consume(broker.bootstrap, "kept", 2) == [b"one", b"two"]
        produce(broker.bootstrap, "kept", [b"three"])
        broker.kill()
    with broker:
        assert consume(broker.bootstrap, "kept", 3) == [b"one", b"two", b"three"]


def test_ports_may_change_between_starts_on_the_same_data(tmp_path: Path) -> None:
    with new_broker(tmp_path) as first:
        create_topic(first.bootstrap, "moved")
        produce(first.bootstrap, "moved", [b"here"])
    with new_broker(tmp_path) as second:
        assert second.bootstrap != first.bootstrap
        assert consume(second.bootstrap, "moved", 1) == [b"here"]


def test_an_unknown_topic_is_not_created_by_asking_for_it(kafka: str) -> None:
    client = AdminClient({"bootstrap.servers": kafka})
    client.list_topics("no-such-topic", timeout=10)
    assert "no-such-topic" not in client.list_topics(timeout=10).topics


def test_a_changed_jar_is_refused(tmp_path: Path) -> None:
    good = ensure_jars(shared_jars_dir())
    bad = tmp_path / good.name
    shutil.copytree(good, bad)
    victim = bad / "kafka-clients-4.3.1.jar"
    victim.write_bytes(victim.read_bytes() + b"!")
    with pytest.raises(ChecksumError, match="kafka-clients"):
        verify(bad, read_checksums())
    with pytest.raises(ChecksumError, match="kafka-clients"):
        EmbeddedBroker(tmp_path / "home", *free_ports(2), jars=tmp_path).start()


def test_an_additional_jar_is_refused(tmp_path: Path) -> None:
    good = ensure_jars(shared_jars_dir())
    shutil.copytree(good, tmp_path / "jars")
    (tmp_path / "jars" / "stowaway.jar").touch()
    with pytest.raises(ChecksumError, match="stowaway"):
        verify(tmp_path / "jars", read_checksums())


def test_without_a_network_the_jars_are_missed_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(SetupError, match="Apache Kafka's jars could not be fetched") as caught:
        ensure_jars(tmp_path / "jars")
    assert "a network is needed for the first run only" in caught.value.hint
    assert list((tmp_path / "jars").iterdir()) == []


def test_a_stranger_on_the_port_is_not_taken_for_our_broker(kafka: str, tmp_path: Path) -> None:
    port, controller_port = int(kafka.rpartition(":")[2]), free_ports(1)[0]
    second = EmbeddedBroker(tmp_path, port, controller_port, jars=shared_jars_dir())
    with pytest.raises(ProcessDied, match="kafka ended with exit code"):
        second.start()
    assert is_free(controller_port)


def test_nothing_answers_on_a_closed_port() -> None:
    with pytest.raises(Unreachable, match="nothing listens there"):
        cluster_id_at("127.0.0.1:1", timeout_seconds=0.5)


def test_a_server_that_is_no_broker_is_told_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        with pytest.raises(Unreachable, match="brokers are down; Failed to get metadata"):
            cluster_id_at(f"127.0.0.1:{port}", timeout_seconds=1.0)


def _hang_up(server: socket.socket) -> None:
    with suppress(OSError):  # the test is over
        while True:
            server.accept()[0].close()


def test_valkey_keeps_jobs(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_child_keeps_its_last_words(tmp_path: Path) -> None:
    child = Child.start("talker", ["sh", "-c", "echo last words; exit 7"], log_path=tmp_path / "talker.log", env={})
    with pytest.raises(ProcessDied, match=r"(?s)exit code 7.*last words"):
        child.wait_ready(lambda: "never", 5)
