"""Writes docs/settings.md from the settings classes of all processes and the ports of the stack: `python -m deploy.local.settings_docs`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy.local.configuration import COMMANDS, SETTINGS, load_class
from deploy.local.settings import PORTS, REPOSITORY
from services.runtime.settings import env_name

PAGE = REPOSITORY / "docs" / "settings.md"


def page() -> str:
    """The page's text."""
    lines = ["# Settings", "", "<!-- Made from the settings classes by `make docs`; edit those, not this. -->", ""]
    lines += ["All settings are environment variables. A wrong value is reported with its name and what was expected, before anything starts."]
    lines += ["So is what is wrong in a file or module that a setting names, and a variable `SIGNALBOX_...` that is no setting.", ""]
    lines += ["## Ports", "", "All on 127.0.0.1 unless `SIGNALBOX_HOST` says otherwise; Envoy's admin and the embedded servers never leave it.", ""]
    lines += ["| variable | default | what |", "|---|---|---|"]
    lines += [f"| `{port.setting}` | {port.default} | {port.what} |" for port in PORTS.values()]
    lines += ["", "## Commands", "", "| variable | default | what |", "|---|---|---|"]
    lines += [f"| `{name}` | {default} | {what} |" for name, default, what in COMMANDS]
    seen = {port.setting for port in PORTS.values()}
    for title, path in SETTINGS:
        rows = _rows(load_class(path), seen)
        lines += ["", f"## {title}", "", "| variable | default | what |", "|---|---|---|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _rows(cls: type[BaseSettings], seen: set[str]) -> list[str]:
    """One row for each variable that no section before has listed."""
    rows = []
    for name, text in _docstrings(cls).items():
        variable = env_name(cls, name)
        if variable in seen or variable == name:
            continue
        seen.add(variable)
        rows.append(f"| `{variable}` | {_default(cls.model_fields[name])} | {text} |")
    return rows


def _docstrings(cls: type) -> dict[str, str]:
    """The docstring under each field, of the class and those it comes from, oldest first."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseSettings) and base is not BaseSettings:
            found |= _own_docstrings(base)
    return found


def _own_docstrings(cls: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None:
        return "none"
    if isinstance(default, Path):
        return f"`{default.relative_to(REPOSITORY)}` in the clone" if default.is_relative_to(REPOSITORY) else f"`{default}`"
    return f"`{','.join(map(str, default))}`" if isinstance(default, tuple) else f"`{default}`"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
