"""The kinds of jobs that may be asked for: the product's, and those of an installation's own modules."""

import importlib
from collections.abc import Iterable, Mapping

from services.reports.errors import WrongKinds
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.jobs import JobKind


def known_kinds(modules: Iterable[str]) -> Mapping[str, JobKind]:
    """The product's kinds and those in `JOB_KINDS` of each of the modules, by name.

    Raises WrongKinds, for all of them at once: a module cannot be imported, has no JOB_KINDS, or names a kind that exists.
    """
    found, problems = dict(JOB_KINDS), []
    for module in modules:
        kinds = _kinds_of(module)
        if isinstance(kinds, str):
            problems.append(f"{module}: {kinds}")
            continue
        for kind in kinds:
            if kind.name in found:
                problems.append(f"{module}: the kind {kind.name} exists already")
            found[kind.name] = kind
    if problems:
        raise WrongKinds(problems)
    return found


def _kinds_of(module: str) -> list[JobKind] | str:
    """The kinds, or why there are none."""
    try:
        kinds = getattr(importlib.import_module(module), "JOB_KINDS", None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is not ours, and may raise anything
        return f"cannot be imported: {type(error).__name__}: {error}"
    if isinstance(kinds, Mapping):
        kinds = list(kinds.values())
    if not isinstance(kinds, list | tuple) or not all(isinstance(kind, JobKind) for kind in kinds):
        return "expected JOB_KINDS, a sequence of JobKind or a mapping of them by name"
    return list(kinds)
