"""The report as JSON: the model but for what only a chart needs, and its schema, made from the model's classes.

Names are the model's. A figure that is not known is null. Times are integers, UTC nanoseconds (0: none): programs that keep numbers as doubles lose
nanoseconds and no more. `python -m services.reports.daily.document` writes docs/schemas/daily-report.schema.json; a test compares.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import orjson

from services.reports.daily import model as model_module
from services.reports.daily.model import REPORT_VERSION, DailyReportModel

SCHEMA_PATH = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "daily-report.schema.json"
SCHEMA_ID = "https://signalbox.invalid/schemas/daily-report.schema.json"

#: Fields that only drawing needs: the bars themselves are in the recorded input and at the prices service.
LEFT_OUT = frozenset(("chart",))

_PLAIN: Mapping[object, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def report_json(model: DailyReportModel) -> bytes:
    """The file, UTF-8, sorted by nothing but the model's own order; ends with a newline."""
    return orjson.dumps(_plain(model), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls) if field.name not in LEFT_OUT)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file."""
    definitions: dict[str, Any] = {}
    root = _schema_of(DailyReportModel, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Signalbox daily report",
        "description": f"Version {REPORT_VERSION}. Times are UTC nanoseconds, 0 for none; changes and shares are fractions; null is not known.",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if get_origin(hint) is not None:
        return _schema_of_many(get_origin(hint), get_args(hint), definitions)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if issubclass(hint, StrEnum):
        return {"type": "string", "enum": [item.value for item in hint]}
    if hint.__name__ not in definitions:
        definitions[hint.__name__] = {}
        definitions[hint.__name__] = _object(hint, definitions)
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _schema_of_many(origin: Any, arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if origin in {Union, types.UnionType}:
        return _nullable([_schema_of(item, definitions) for item in arguments if item is not type(None)])
    if origin is tuple:
        return _array(arguments, definitions)
    if origin is np.ndarray:
        # NaN is null.
        kind = "integer" if np.int64 in get_args(arguments[1]) else ["number", "null"]
        return {"type": "array", "items": {"type": kind}}
    return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}


def _nullable(options: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = options
    return {**only, "type": [only["type"], "null"]} if "type" in only else {"anyOf": [only, {"type": "null"}]}


def _array(arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "array", "items": _schema_of(arguments[0], definitions)}
    return found if arguments[-1] is Ellipsis else {**found, "minItems": len(arguments), "maxItems": len(arguments)}


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, texts = get_type_hints(cls, vars(model_module)), _docstrings(cls)
    properties = {name: _described(_schema_of(hints[name], definitions), texts.get(name)) for name in _names(cls)}
    text = " ".join((cls.__doc__ or "").split())
    return {"type": "object", "description": text, "properties": properties, "required": list(properties), "additionalProperties": False}


def _described(found: dict[str, Any], text: str | None) -> dict[str, Any]:
    return {**found, "description": text} if text else found


def _docstrings(cls: type) -> dict[str, str]:
    """The text under each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def schema_text() -> str:
    """The published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
