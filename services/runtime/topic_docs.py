"""Writes docs/topics.md and docs/asyncapi.yaml from the registry of topics: `python -m services.runtime.topic_docs`.

Needs PyYAML, which only the development group installs.
"""

from pathlib import Path
from typing import Any

from services.runtime.topics import ALL_TOPICS, DEFAULT_PARTITIONS, Layout, Topic

_ROOT = Path(__file__).resolve().parents[2]
_MADE = "Made from services/runtime/topics.py by `make docs`; edit that, not this."

#: Header name to what it holds; every record of ours has the first four.
HEADERS: dict[str, str] = {
    "ce_type": "Type of the event: the full name of the protobuf message.",
    "ce_id": "Identity of the record; the same for a record that was produced again.",
    "schema": "Full name of the protobuf message in the value.",
    "traceparent": "W3C trace context of what caused the record.",
    "src_topic": "Derived records: the topic of the input record.",
    "src_partition": "Derived records: the partition of the input record.",
    "src_offset": "Derived records: the offset of the input record.",
}


def proto_file(message: str) -> Path:
    """The file under protos/ that declares a message. Raises LookupError when none does."""
    package, _, name = message.rpartition(".")
    folder = _ROOT / "protos" / package.replace(".", "/")
    for path in sorted(folder.glob("*.proto")):
        if f"\nmessage {name} {{" in path.read_text(encoding="utf-8"):
            return path
    raise LookupError(f"no file under {folder} declares message {name}")


def topics_markdown() -> str:
    """The page of topics."""
    lines = ["# Topics", "", f"<!-- {_MADE} -->", ""]
    lines += ["Values are protobuf messages of `signalbox.events.v1`. A symbol has the same partition in every topic of the same number of partitions:"]
    lines += [
        f"murmur2(symbol) modulo the number, as Kafka's Java client computes it for the key `symbol`. `N` is `SIGNALBOX_PARTITIONS` ({DEFAULT_PARTITIONS}).",
        "",
    ]
    for topic in ALL_TOPICS:
        lines += _section(topic)
    lines += ["## Headers", "", "| header | what |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in HEADERS.items()]
    return "\n".join(lines) + "\n"


def _section(topic: Topic) -> list[str]:
    file = proto_file(topic.message).relative_to(_ROOT)
    return [
        f"## {topic.name}",
        "",
        topic.description,
        "",
        "| | |",
        "|---|---|",
        f"| value | [`{topic.message}`](../{file}) |",
        f"| key | {topic.key or 'none'} |",
        f"| layout | {topic.layout.value} |",
        f"| partitions | {topic.partitions or 'N'} |",
        f"| kept | {_kept(topic)} |",
        f"| written by | {topic.owner} |",
        "",
    ]


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "the last record of each key"
    size = f"{topic.retention_bytes >> 20} MiB a partition"
    return size if topic.retention_ms < 0 else f"{size}, at most {topic.retention_ms / 3_600_000:g} h"


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document, as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Signalbox topics", "version": "1.0.0", "description": _MADE},
        "defaultContentType": "application/x-protobuf",
        "servers": {"embedded": {"host": "127.0.0.1:19092", "protocol": "kafka", "description": "The embedded broker of `make run`."}},
        "channels": {topic.name: _channel(topic) for topic in ALL_TOPICS},
        "operations": {f"consume.{topic.name}": {"action": "receive", "channel": {"$ref": _pointer(topic)}} for topic in ALL_TOPICS},
    }


def _pointer(topic: Topic) -> str:
    return f"#/channels/{topic.name}"


def _channel(topic: Topic) -> dict[str, Any]:
    name = topic.message.rpartition(".")[2]
    message: dict[str, Any] = {
        "name": topic.message,
        "contentType": "application/x-protobuf",
        "headers": {"type": "object", "properties": {key: {"type": "string", "description": text} for key, text in HEADERS.items()}},
        "payload": {
            "schemaFormat": "application/vnd.google.protobuf;version=3",
            "schema": {"$ref": f"../{proto_file(topic.message).relative_to(_ROOT)}"},
        },
    }
    if topic.key:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": topic.key}}}
    kafka: dict[str, Any] = {"topicConfiguration": {"cleanup.policy": ["compact" if topic.layout is Layout.KEYED else "delete"]}}
    if topic.partitions:
        kafka["partitions"] = topic.partitions
    return {"address": topic.name, "description": topic.description, "messages": {name: message}, "bindings": {"kafka": kafka}}


def rendered() -> dict[Path, str]:
    """Each document's path and text."""
    import yaml

    text = yaml.safe_dump(asyncapi(), sort_keys=False, width=160, allow_unicode=True)
    return {_ROOT / "docs" / "topics.md": topics_markdown(), _ROOT / "docs" / "asyncapi.yaml": f"# {_MADE}\n{text}"}


def main() -> None:
    """Writes the documents."""
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
