"""The import contracts in pyproject.toml name every service there is: a new one must not be left out of them."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.servers import REPOSITORY

SERVICES = {f"services.{init.parent.name}" for init in (REPOSITORY / "services").glob("*/__init__.py")} - {"services.runtime"}


def test_every_service_is_in_the_contracts() -> None:
    contracts = _contracts()
    assert SERVICES
    assert set(contracts["Services never import each other"]["modules"]) == SERVICES
    assert set(contracts["The runtime imports no service, gateway or deployment"]["forbidden_modules"]) == {*SERVICES, "gateway", "deploy"}
    assert set(contracts["The gateway imports stubs and the runtime only"]["forbidden_modules"]) == {*SERVICES, "deploy"}


def test_every_package_of_the_product_is_looked_at() -> None:
    packages = {init.parent.name for init in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert set(_linter()["root_packages"]) == packages
    for name in ("Faust and its driver are imported by the stream runtime only", "The product does not import its tests"):
        assert set(_contracts()[name]["source_modules"]) == packages


def _contracts() -> dict[str, dict[str, Any]]:
    return {contract["name"]: contract for contract in _linter()["contracts"]}


def _linter() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return found
