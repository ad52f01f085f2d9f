"""What can go wrong around the embedded stack.

StackError
├── SetupError            something that is needed could not be fetched or built
│   └── ChecksumError     a downloaded file is not the one that was tried
├── SettingError          environment variables have values that cannot be used
├── SeveralProblems       more than one of these, found before the start
├── PortInUse             a port of the stack is taken by someone else
├── AlreadyRunning        another stack runs on the same data folder
├── DiskFull              too little room under the data folder
├── FolderNotWritable     the data folder cannot be written
├── Unreachable           a server that was named by a setting does not answer
├── ProcessDied           a process ended although nobody asked it to
└── NotReady              a process is alive but never became ready
"""

from __future__ import annotations

from collections.abc import Sequence


class StackError(Exception):
    """A failure a person can act on: what happened, and what to do about it.

    message: one line, names the thing and its value. hint: what to do, may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SetupError(StackError):
    """Something that is needed could not be fetched or built."""


class ChecksumError(SetupError):
    """A downloaded file differs from the one whose checksum is kept in the repository."""


class SettingError(StackError):
    """Environment variables have values that cannot be used. problems: a line for each, as `NAME: was 'value'; expected: what`."""

    def __init__(self, *problems: str, hint: str = "") -> None:
        message = problems[0] if len(problems) == 1 else "".join((f"{len(problems)} settings are wrong:", *(f"\n  {problem}" for problem in problems)))
        super().__init__(message, hint)
        self.problems = problems


class SeveralProblems(StackError):
    """More than one thing is in the way of the start."""

    def __init__(self, problems: Sequence[StackError]) -> None:
        lines = [f"\n  {each.message}" + (f"\n    {each.hint}" if each.hint else "") for each in problems]
        super().__init__(f"{len(problems)} things are in the way:{''.join(lines)}")
        self.problems = tuple(problems)


class PortInUse(StackError):
    """A port of the stack is taken by another process."""

    def __init__(self, port: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.port = port


class AlreadyRunning(StackError):
    """Another stack runs on the same data folder. pid: its supervisor, 0 when unknown."""

    def __init__(self, pid: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.pid = pid


class DiskFull(StackError):
    """There is too little room under the data folder."""


class FolderNotWritable(StackError):
    """The data folder cannot be written."""


class Unreachable(StackError):
    """A server that a setting names (Kafka, Redis), or the edge, does not answer."""

    @classmethod
    def edge(cls, address: str, why: object) -> Unreachable:
        """Of a command that asks the edge. why: an exception or a text."""
        reason = getattr(why, "strerror", None) or why
        return cls(
            f"nothing answers at {address} ({reason})", "Signalbox is not running, or on another port: `make up` starts it, `make status` says how it is"
        )


class ProcessDied(StackError):
    """A process ended although nobody asked it to. The message carries its last log lines."""

    def __init__(self, process: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.process = process


class NotReady(StackError):
    """A process is alive but did not become ready in its time."""
