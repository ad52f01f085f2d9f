"""Symbols and digits."""

import re
from pathlib import Path

import pytest

from services.prices.feeds.settings import FeedsSettings
from services.prices.instruments import BadOverrides, Digits, Instrument, InstrumentBook, MalformedSymbol, instrument_of, load_overrides
from services.prices.jobs.settings import PricesJobsSettings
from services.prices.settings import PricesSettings
from services.runtime.settings import load_settings


@pytest.mark.parametrize(
    ("symbol", "price_digits", "size_digits", "mic"),
    [
        ("ES.XCME", 2, 0, "XCME"),
        ("TEST.XSIM", 2, 0, "XSIM"),
        ("AAPL.XNAS", 4, 6, "XNAS"),
        ("BRK-B.XNYS", 4, 6, "XNYS"),
        ("ZN.XCBT", 7, 0, "XCBT"),
        ("ANY.XXXX", 6, 6, "XXXX"),
        ("^GSPC.X", 6, 6, "X"),
    ],
)
def test_digits_come_from_the_table_then_the_market_then_the_default(symbol: str, price_digits: int, size_digits: int, mic: str) -> None:
    assert instrument_of(symbol) == Instrument(symbol, price_digits, size_digits, mic)


@pytest.mark.parametrize("symbol", ["", "AAPL", ".XNAS", "AAPL.", "aapl.XNAS", "BRK.B.XNYS", "AA PL.XNAS", "AAPL.XNAS\n", "A" * 28 + ".XNAS", "Å.XNAS"])
def test_a_malformed_symbol_is_named_with_what_was_expected(symbol: str) -> None:
    with pytest.raises(MalformedSymbol, match="ticker dot MIC") as caught:
        instrument_of(symbol)
    assert repr(symbol) in str(caught.value)


def test_the_longest_symbol_has_32_characters() -> None:
    assert instrument_of("A" * 27 + ".XNAS").mic == "XNAS"


def test_overrides_win_over_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "instruments.toml"
    path.write_text('[symbols]\n"ES.XCME" = {price_digits = 4, size_digits = 1}\n[mics]\nXSIM = {price_digits = 0, size_digits = 9}\n')
    book = load_overrides(path)
    assert book == InstrumentBook({"ES.XCME": Digits(4, 1)}, {"XSIM": Digits(0, 9)})
    assert book.instrument_of("ES.XCME").price_digits == 4
    assert book.instrument_of("TEST.XSIM").size_digits == 9
    assert book.instrument_of("AAPL.XNAS").price_digits == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbols = [", "is not TOML"),
        ("[symbol]\n", "expected tables"),
        ("[mics]\nXNAS = {price_digits = 10, size_digits = 0}", "expected price_digits 0 to 9, was 10"),
        ("[mics]\nXNAS = {price_digits = 1}", "expected size_digits 0 to 9, was None"),
        ("[mics]\nXNAS = {price_digits = true, size_digits = 1}", "was True"),
        ('[symbols]\n"ES.XCME" = 3', "ES.XCME: expected {price_digits = 2, size_digits = 0}, was 3"),
        ("symbols = 3", "symbols: expected a table, was 3"),
        ("[mics]\nXNAS = {price_digits = 1, size_digits = 1, lot = 5}", "XNAS: expected price_digits and size_digits, found lot"),
        ("[symbols]\nESXCME = {price_digits = 4, size_digits = 1}\n", "ESXCME: expected ticker dot MIC"),
    ],
)
def test_bad_overrides_are_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instruments.toml"
    path.write_text(text)
    with pytest.raises(BadOverrides, match=re.escape(message)):
        load_overrides(path)


def test_every_mistake_of_the_overrides_is_named(tmp_path: Path) -> None:
    path = tmp_path / "instruments.toml"
    path.write_text("[symbols]\nESXCME = {price_digits = 10, size_digits = 1}\n[mics]\nXNAS = 3\n")
    with pytest.raises(BadOverrides) as caught:
        load_overrides(path)
    assert len(caught.value.problems) == 3


def test_a_file_of_overrides_is_checked_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "instruments.toml"
    path.write_bytes(b"\xff")
    monkeypatch.setenv("SIGNALBOX_INSTRUMENTS", str(path))
    for cls in (PricesSettings, FeedsSettings, PricesJobsSettings):
        with pytest.raises(SystemExit):
            load_settings(cls)
        assert f"SIGNALBOX_INSTRUMENTS: was '{path}'; expected: a file of instruments without mistakes: is not TOML" in capsys.readouterr().err
