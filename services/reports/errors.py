"""What reports raises beyond the runtime's tree.

SignalboxError
├── NotFound
│   └── OperationNotFound   no job of that name is kept, and its result is not among those that are indexed
└── WrongKinds              SIGNALBOX_JOB_KINDS_MODULE names something that cannot be used
"""

from collections.abc import Sequence

from services.runtime.errors import NotFound, SignalboxError
from services.runtime.topics import RESULTS


class OperationNotFound(NotFound):
    """An operation that is not known here, any more or at all."""

    def __init__(self, name: str) -> None:
        super().__init__("operation", name)
        self.hint = f"the result of a job that is no longer kept is in the topic {RESULTS.name}, under its id"

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.hint}"


class WrongKinds(SignalboxError):
    """Modules of kinds cannot be imported, or do not hold what they must. problems: of each one, with its name."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"SIGNALBOX_JOB_KINDS_MODULE: {'; '.join(problems)}")
        self.problems = tuple(problems)
