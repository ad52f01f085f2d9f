"""Metrics of the runtime itself: name, type, unit and meaning, once.

The standard process metrics (`process_*`, `python_*`) come from prometheus_client.
"""

from prometheus_client import Counter, Gauge, Histogram

#: From a tenth of a millisecond (an answer from memory) to a long page.
_LATENCY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

GRPC_STARTED = Counter("signalbox_grpc_server_started_total", "RPCs begun, by full method.", ["method"])
GRPC_HANDLED = Counter("signalbox_grpc_server_handled_total", "RPCs ended, by full method and status code.", ["method", "code"])
GRPC_SECONDS = Histogram(
    "signalbox_grpc_server_handling_seconds", "Seconds from a unary RPC's begin to its end, by full method.", ["method"], buckets=_LATENCY_BUCKETS
)
GRPC_IN_FLIGHT = Gauge("signalbox_grpc_server_in_flight", "RPCs under way now.", ["method"])
UNEXPECTED_ERRORS = Counter("signalbox_unexpected_errors_total", "Errors that no code expected, caught at the edge of the process, by place.", ["place"])

KAFKA_PRODUCED = Counter("signalbox_kafka_produced_total", "Records acknowledged by the broker, by topic.", ["topic"])
KAFKA_PRODUCE_ERRORS = Counter("signalbox_kafka_produce_errors_total", "Records that the broker did not take, by topic and error.", ["topic", "error"])
KAFKA_QUEUE_FULL = Counter("signalbox_kafka_queue_full_total", "Times that a producer had to wait for room in its queue, by topic.", ["topic"])
KAFKA_READ = Counter("signalbox_kafka_read_total", "Records read by topic readers, by topic.", ["topic"])
KAFKA_READ_ERRORS = Counter("signalbox_kafka_read_errors_total", "Errors that the client reported while reading, by error.", ["error"])
KAFKA_CLIENT_ERRORS = Counter(
    "signalbox_kafka_client_errors_total", "Connection and cluster errors reported by a Kafka client, by client and error.", ["client", "error"]
)
DEAD_LETTERS = Counter("signalbox_dead_letters_total", "Records sent to a dead-letter topic, by the topic they came from.", ["topic"])

CACHE_REQUESTS = Counter("signalbox_cache_requests_total", "Cache requests by operation and result (hit, miss, ok, error).", ["operation", "result"])
RETRIES = Counter("signalbox_retries_total", "Attempts after the first, by what was tried.", ["what"])
