"""Metrics of the gateway: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("signalbox_hub_connections", "Clients connected to the hub now, by kind (websocket, grpc).", ["kind"])
SUBSCRIPTIONS = Gauge("signalbox_hub_subscriptions", "Pairs of a symbol (or *) and a channel at an interval, all connections.")
SERIES = Gauge("signalbox_hub_series", "Series that the hub knows.")
ROWS = Counter("signalbox_hub_rows_total", "Rows that reached the hub, by channel.", ["channel"])
DUPLICATES = Counter("signalbox_hub_duplicate_rows_total", "Rows left out because their identity had been seen, by channel.", ["channel"])
BAD_RECORDS = Counter("signalbox_hub_bad_records_total", "Records that could not be read, by topic.", ["topic"])
UPDATES = Counter("signalbox_hub_updates_total", "Updates for which there was a subscriber, by channel.", ["channel"])
MESSAGES = Counter("signalbox_hub_messages_total", "Messages sent to clients.")
FRAMES = Counter("signalbox_hub_frames_total", "Frames sent to clients; each holds all messages that were owed.")
SENT_BYTES = Counter("signalbox_hub_sent_bytes_total", "Bytes sent to clients, without the framing of the transport.")
DROPPED = Counter("signalbox_hub_dropped_total", "Messages left out because a client was slow (it is told), by channel.", ["channel"])
DISCONNECTS = Counter("signalbox_hub_disconnects_total", "Connections ended by the hub, by reason.", ["reason"])
BAD_REQUESTS = Counter("signalbox_hub_bad_requests_total", "Requests answered with an error, by code.", ["code"])
FLUSH_SECONDS = Histogram(
    "signalbox_hub_flush_seconds", "Seconds to send what all clients were owed in one turn.", buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)
)
DELIVERY_SECONDS = Histogram(
    "signalbox_hub_delivery_seconds",
    "Seconds from a tick's arrival at a feed to the hub's update, of forming bars and ticks (wall clock).",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
