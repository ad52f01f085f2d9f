"""The exception tree that every service's own tree grows from.

SignalboxError
├── InvalidArgument      the caller's input is wrong          INVALID_ARGUMENT
├── NotFound             what was asked for does not exist    NOT_FOUND
├── Unavailable          something we need is away, try again UNAVAILABLE
├── ResourceExhausted    no room now, try again later         RESOURCE_EXHAUSTED
├── DeadlineExceeded     the time that was given is over      DEADLINE_EXCEEDED
├── AddressInUse         a port that we must listen on is taken
├── BadRecord            a Kafka record that cannot be used   -> <topic>.dlq
└── TooManyDeadLetters   so many of them that going on is wrong
"""

from collections.abc import Mapping


class SignalboxError(Exception):
    """Whatever our own code raises on purpose. `reason` is a stable word for programs, the message is for people."""

    reason = "INTERNAL"

    def metadata(self) -> Mapping[str, str]:
        """Facts for programs, sent with the error as google.rpc.ErrorInfo."""
        return {}


class InvalidArgument(SignalboxError):
    """A field of a request is wrong."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}, was {_cut(repr(value))}")
        self.field, self.value, self.expected = field, value, expected


class NotFound(SignalboxError):
    """A thing that was asked for by name does not exist."""

    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} not found: {_cut(name)}")
        self.kind, self.name = kind, name


class Unavailable(SignalboxError):
    """Something that we depend on does not answer. Sending again later is right."""

    reason = "UNAVAILABLE"

    def __init__(self, what: str, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{what} is not available: {detail}")
        self.what, self.detail, self.retry_after_s = what, detail, retry_after_s


class ResourceExhausted(SignalboxError):
    """A limit is reached. Sending again later, slower, is right."""

    reason = "RESOURCE_EXHAUSTED"

    def __init__(self, what: str, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{what} is exhausted: {detail}")
        self.what, self.detail, self.retry_after_s = what, detail, retry_after_s


class DeadlineExceeded(SignalboxError):
    """The call took longer than the server allows when the client sets no deadline."""

    reason = "DEADLINE_EXCEEDED"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s, the server's limit for a call without a deadline")
        self.seconds = seconds


class AddressInUse(SignalboxError):
    """A port that we must listen on is taken, or may not be opened."""

    reason = "ADDRESS_IN_USE"

    def __init__(self, host: str, port: int, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: cannot listen on {host}:{port}" + (f" ({detail})" if detail else ""))
        self.host, self.port, self.what = host, port, what


class BadRecord(SignalboxError):
    """A Kafka record that cannot be used; it goes to the dead letters with this reason and reading goes on."""

    reason = "BAD_RECORD"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TooManyDeadLetters(SignalboxError):
    """So many records are bad that the fault is likely ours: the process must stop, not reroute everything."""

    reason = "TOO_MANY_DEAD_LETTERS"

    def __init__(self, limit_per_minute: int, last_reason: str) -> None:
        super().__init__(f"more than {limit_per_minute} dead letters in a minute, the last: {last_reason}")
        self.limit_per_minute, self.last_reason = limit_per_minute, last_reason


def _cut(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
