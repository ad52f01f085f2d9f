"""Any query at the REST door: an answer or a problem that says why; never a dropped connection, a 500 or an edge that is down afterwards."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.edge_servers import RunningEnvoy, edge_settings, running_envoy
from tests.integration.prices_process import PricesProcess
from tests.servers import new_broker

PATHS = ("/v1/prices/ES.XCME", "/v1/prices:batchGet", "/v1/bars/ES.XCME", "/v1/series")
#: The edge's own problems, and the status of a service with its details.
KINDS = {"application/json", "application/problem+json"}
NAMES = st.one_of(st.sampled_from(("symbol", "symbols", "interval", "interval_name", "start", "end", "last", "page_size", "page_token")), st.text(max_size=8))
VALUES = st.one_of(
    st.sampled_from(("1m", "INTERVAL_1M", "7x", "-1", "1e9", "99999999999999999999", "2013-09-03T07:30:00Z", "nan", "", "%00", "[]")), st.text(max_size=20)
)
#: Paths that take a body, of services that are away.
POSTS = ("/v1/jobs", "/v1/reports/daily", "/v1/analysis:batch", "/v1/operations/x:wait")
FIELDS = st.sampled_from(("kind", "request", "priority", "owner", "symbols", "template", "date", "universe", "timeout")) | st.text(max_size=5)
#: No deeper: Envoy's own limit is another matter.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=8,
)
BODIES = st.one_of(st.dictionaries(FIELDS, JSON, max_size=4).map(json.dumps).map(str.encode), JSON.map(json.dumps).map(str.encode), st.binary(max_size=60))
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvoy]:
    """Envoy in front of the real prices service; the other services are away."""
    home, ports = tmp_path_factory.mktemp("rest"), edge_settings()
    with new_broker(home / "kafka") as broker:
        process = PricesProcess(broker.bootstrap, home / "log", SIGNALBOX_PRICES_PORT=str(ports.prices_port))
        try:
            asyncio.run(process.start())
            with running_envoy(home, ports) as envoy:
                yield envoy
        finally:
            process.kill()
            print(process.log()[-3000:])


def status_of(url: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and media type; a body is posted. Raises OSError when there is no answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=20) as answer:
            return answer.status, answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), query=QUERIES)
@example(path="/v1/series", query=[("page_token", "no token of ours")])
def test_no_query_is_worse_than_a_problem(edge: RunningEnvoy, path: str, query: list[tuple[str, str]]) -> None:
    status, kind = status_of(f"{edge.url}{path}?{urllib.parse.urlencode(query, errors='surrogatepass')}")
    assert status in {200, 400, 404}, (status, path, query)
    assert kind in KINDS


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(symbol=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50))
def test_no_symbol_is_worse_than_a_problem(edge: RunningEnvoy, symbol: str) -> None:
    status, kind = status_of(f"{edge.url}/v1/prices/{urllib.parse.quote(symbol, safe='')}")
    assert status in {400, 404}, (status, symbol)
    assert kind in KINDS
    assert status_of(f"{edge.url}/v1/series")[0] == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(POSTS), body=BODIES)
def test_no_body_is_worse_than_a_problem(edge: RunningEnvoy, path: str, body: bytes) -> None:
    """What the edge can read goes on to a service, which is away; what it cannot is the client's fault."""
    status, kind = status_of(f"{edge.url}{path}", body)
    assert status in {400, 503}, (status, path, body)
    assert kind in KINDS
    assert status_of(f"{edge.url}/v1/series")[0] == 200
