"""Creates the topics of the registry and says how they differ from what is there."""

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.runtime.topics import ALL_TOPICS, Topic

#: Long enough for a broker that has just begun to listen, short enough for a person who waits.
_TIMEOUT_S = 20.0


class PartitionMismatch(Exception):
    """A topic exists with another number of partitions than wanted; changing it would move symbols between partitions."""

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(
            f"topic {topic}: has {found} partitions, SIGNALBOX_PARTITIONS wants {wanted}; "
            f"set SIGNALBOX_PARTITIONS={found} or empty the data folder (`make reset`)"
        )
        self.topic, self.found, self.wanted = topic, found, wanted


def ensure_topics(bootstrap: str, partitions: int, topics: Iterable[Topic] = ALL_TOPICS, replication: int = 1) -> list[str]:
    """Creates the topics that do not exist. Returns the names of those created.

    bootstrap: Kafka addresses. partitions: for topics that do not fix their own, >= 1. replication: copies of each partition.
    Raises PartitionMismatch, and KafkaException when the broker does not answer within 20 s or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    wanted = {topic.name: topic for topic in topics}
    found = admin.list_topics(timeout=_TIMEOUT_S).topics
    for name, topic in wanted.items():
        count = topic.partitions or partitions
        if name in found and len(found[name].partitions) != count:
            raise PartitionMismatch(name, len(found[name].partitions), count)
    missing = [topic for name, topic in wanted.items() if name not in found]
    return _create(admin, missing, partitions, replication)


def _create(admin: AdminClient, topics: list[Topic], partitions: int, replication: int) -> list[str]:
    if not topics:
        return []
    new = [NewTopic(t.name, num_partitions=t.partitions or partitions, replication_factor=replication, config=t.config()) for t in topics]
    created = []
    for name, future in admin.create_topics(new, operation_timeout=_TIMEOUT_S, request_timeout=_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            # Another process that starts at the same moment may have made it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            created.append(name)
    return created
