"""Requests that a generator derives from the server's own schema never end in an internal error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import LiveServer, running, two_domains

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Iterator[LiveServer]:
    with running(two_domains(tmp_path_factory.mktemp("schema"), backbone_folders[0]), answer_tokens=16) as server:
        yield server


def test_no_request_of_the_schema_is_an_internal_error(live: LiveServer) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    schema = schemathesis.openapi.from_dict(live.app.openapi())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {
        "/v1/models", "/v1/models/{model}", "/v1/chat/completions", "/v1/embeddings", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    statuses: dict[str, set[int]] = {}
    with live.http() as http:
        for operation in operations:

            @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(), model=st.sampled_from(["quotes", "words", None]))
            def check(case: Any, model: str | None) -> None:
                # Otherwise hardly any request would name a domain.
                if model is not None and isinstance(case.body, dict):
                    case.body["model"] = model
                response = case.call(base_url=live.address)
                statuses.setdefault(case.operation.path, set()).add(response.status_code)
                assert response.status_code < 500 or (response.status_code == 503 and case.operation.path == "/readyz")
                if response.status_code >= 400:
                    assert set(response.json()["error"]) == {"message", "type", "param", "code"}

            check()
        assert http.get("/healthz").status_code == 200
    # The generator got beyond the checks of the body.
    assert 200 in statuses["/v1/chat/completions"]
    assert {200, 400} <= statuses["/v1/embeddings"]
