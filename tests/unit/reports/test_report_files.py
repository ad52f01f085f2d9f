"""The recorded input and the files made of it: round trips and schema. The same bytes in every process: tests/integration/test_report_bytes.py."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import jsonschema
import pyarrow.parquet as pq
import pytest
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.document import SCHEMA_PATH, report_json, schema, schema_text
from services.reports.daily.errors import InputUnreadable
from services.reports.daily.recorded import ReportInput, input_sha256, read_input, write_input
from services.reports.daily.table import figures_parquet
from tests.report_samples import model_of, real_input, sample_input, small_input


def test_the_input_comes_back_as_it_was() -> None:
    for record in (small_input(), real_input()):
        data = write_input(record)
        again = read_input(data)
        assert write_input(again) == data
        # The heads differ in the table of symbols only, which is filled when it is written.
        assert [item.symbol for item in again.symbols] == [item.symbol for item in record.symbols]
        assert again.head.articles == record.head.articles
        assert again.head.system == record.head.system
        for before, after in zip(record.symbols, again.symbols, strict=True):
            assert before.bars.close.tobytes() == after.bars.close.tobytes()
            assert before.signals.row.tolist() == after.signals.row.tolist()
            assert (before.error, before.why_missing) == (after.error, after.why_missing)


def test_another_input_has_another_identity() -> None:
    assert input_sha256(write_input(sample_input(5, 60, seed=1, troubled=False))) != input_sha256(write_input(sample_input(5, 60, seed=2, troubled=False)))


def test_an_input_that_cannot_be_read_is_named() -> None:
    data = write_input(small_input())
    with pytest.raises(InputUnreadable, match="cannot be read"):
        read_input(data[:-100])
    with pytest.raises(InputUnreadable):
        read_input(b"no zip")
    with pytest.raises(InputUnreadable, match="expected format 1, was 9"):
        read_input(_with_format(data, 9))


def _with_format(data: bytes, number: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            changed.writestr(name, content.replace(b'"format":1', f'"format":{number}'.encode()) if name == "input.json" else content)
    return target.getvalue()


def test_the_published_schema_is_the_codes() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run `python -m services.reports.daily.document`"


@pytest.mark.parametrize("record", [small_input(), real_input(), sample_input(40)], ids=["small", "real", "larger"])
def test_json_is_what_the_schema_says(record: ReportInput) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
    document = json.loads(report_json(model_of(record)))
    assert [error.message for error in validator.iter_errors(document)] == []
    # The check can fail: a figure of the wrong type, and one too many.
    document["coverage"]["expected"] = "many"
    document["meta"]["more"] = 1
    assert len(list(validator.iter_errors(document))) == 2


def test_parquet_holds_a_row_for_each_symbol_with_figures() -> None:
    model = model_of(small_input())
    table = pq.read_table(io.BytesIO(figures_parquet(model)))
    assert table.column("symbol").to_pylist() == [item.symbol for item in model.symbols]
    assert table.column("close").to_pylist() == [item.last.close for item in model.symbols]
    assert table.column("sma_200").to_pylist() == [item.indicators["sma_200"] for item in model.symbols]
    metadata = table.schema.metadata
    assert metadata[b"signalbox.input_sha256"].decode() == model.meta.input_sha256
    assert set(table.column("state").to_pylist()) == {"arrived", "late"}


def test_the_id_tells_input_and_version() -> None:
    record = small_input()
    model = model_of(record)
    hashed = hashlib.sha256(f"{model.meta.input_sha256} {model.meta.version}".encode()).hexdigest()
    assert model.meta.id == f"2026-03-02-{hashed[:8]}"
    assert pb.DailyReport(id=model.meta.id).id
