"""The client and the texts of `benchmarks.speed.serving`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import QUESTION, QUOTE, LiveServer, running, two_domains

from benchmarks.speed.serve.client import closed_loop, open_loop
from benchmarks.speed.serve.measure import summary
from benchmarks.speed.serve.texts import QUESTIONS_PER_DOMAIN, TOWNS, documents, foreign_names, question

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.bench]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> dict[str, Path]:
    return two_domains(tmp_path_factory.mktemp("benchmark"), backbone_folders[0])


@pytest.fixture
def server(folders: dict[str, Path]) -> Iterator[LiveServer]:
    with running(folders, running=1, queue=1) as live:
        yield live


def body(model: str = "words") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}


def test_callers_get_answers_with_times_and_tokens(server: LiveServer) -> None:
    replies = closed_loop(server.address, iter([body(), body("quotes"), body()]), 1)
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert replies[0].text == replies[2].text
    assert QUOTE in replies[1].text
    assert replies[1].last["citations"]
    for reply in replies:
        assert reply.complete
        assert reply.first is not None
        assert 0 < reply.first <= reply.whole
    assert replies[0].tokens > 0
    assert replies[1].tokens == 0
    found = summary(replies)
    assert found["answers"] == 3
    assert found["first_ms"]["p50"] <= found["first_ms"]["p95"] <= found["whole_ms"]["max"]


def test_a_fixed_rate_does_not_wait_for_answers(server: LiveServer) -> None:
    replies = open_loop(server.address, lambda number: body(), 400, 0.1)
    assert len(replies) == 40
    refused = [reply for reply in replies if reply.refused]
    assert refused
    assert all(not reply.text for reply in refused)
    served = [reply for reply in replies if not reply.refused]
    assert served
    assert all(reply.complete for reply in served)


def test_the_texts_of_domains_differ_in_their_names() -> None:
    for domain in range(len(TOWNS)):
        texts = documents(domain)
        assert len(texts) == 6
        assert all(TOWNS[domain] in text and not foreign_names(text, domain) for text in texts.values())
        assert foreign_names("".join(texts.values()), (domain + 1) % len(TOWNS)) == [TOWNS[domain]]
        asked = [question(domain, number) for number in range(QUESTIONS_PER_DOMAIN)]
        assert len({one.text for one in asked}) == QUESTIONS_PER_DOMAIN
        assert all(any(text in one.evidence for text in texts.values()) for one in asked)
