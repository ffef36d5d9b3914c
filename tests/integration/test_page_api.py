"""The API of the page, and its files: only text, only the caller's own conversations, and a reason for each refusal."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from api_server import Reply, Server, Silence

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from page_server import BOX, BOX_QUESTION, SCRIPT, PageServer, opened, running_server

from chains.speakers.requested import TokenUsage
from softgraft.server.keys import new_key
from softgraft.server.web.ask import AskBody, answer_events
from softgraft.server.web.routes import STATIC

if TYPE_CHECKING:
    Events = list[tuple[str, dict[str, Any]]]

pytestmark = [pytest.mark.heavy, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def client(page: PageServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.address, timeout=30, trust_env=False) as client:
        yield client


def events(response: httpx.Response) -> Events:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in response.text.split("\n\n") if block]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def ask(client: httpx.Client, question: str, domain: str = "bank", **more: Any) -> dict[str, Any]:
    """Ask, and return the data of the answer."""
    response = client.post("api/ask", json={"domain": domain, "question": question, **more})
    assert response.status_code == 200
    name, data = events(response)[-1]
    assert name == "answer"
    return data


def test_the_stream_has_query_text_and_an_answer_with_its_citations(client: httpx.Client) -> None:
    response = client.post("api/ask", json={"domain": "bank", "question": BOX_QUESTION})
    assert response.headers["content-type"].startswith("text/event-stream")
    found = events(response)
    assert [name for name, _ in found] == ["start", "query", "text", "answer"]
    answer = found[-1][1]
    assert answer["thread"] == found[0][1]["thread"]
    turn = answer["turn"]
    [citation] = turn["citations"]
    assert turn["answer"][citation["start"] : citation["end"]] == f"“{BOX}”"
    start, end = citation["span"]
    assert citation["href"] == f"/#/bank/document/rates?start={start}&end={end}"
    shown = client.get("api/document", params={"domain": "bank", "id": "rates", "start": start, "end": end}).json()
    assert shown["quote"] == citation["quote"] == BOX
    assert (turn["number"], turn["refused"], turn["supported"]) == (1, False, True)
    refused = ask(client, "Who is the tallest person in Hexley?")["turn"]
    assert (refused["refused"], refused["supported"], refused["citations"]) == (True, None, [])


def test_documents_are_json_and_cut_by_code_points(client: httpx.Client, page: PageServer) -> None:
    given = {"domain": "bank", "id": "signs", "start": 10, "end": 20, "before": 3, "after": 2}
    response = client.get("api/document", params=given)
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    with closing(opened(page.folders["bank"])) as domain:
        text = domain.index.document("signs").text
    assert (found["before"], found["quote"], found["after"]) == (text[7:10], text[10:20], text[20:22])
    assert (found["first"], found["last"], found["length"]) == (7, 22, len(text))
    hostile = client.get("api/document", params={"domain": "bank", "id": "hostile"})
    assert SCRIPT in hostile.json()["after"]
    listed = client.get("api/documents", params={"domain": "bank"}).json()
    assert listed["total"] == len(listed["documents"]) == 10
    rest = client.get("api/documents", params={"domain": "bank", "first": 8}).json()
    assert rest["documents"] == listed["documents"][8:]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("api/document?domain=bank&id=rates&start=5&end=99999", 422, "no characters"),
        ("api/document?domain=bank&id=rates&start=9&end=3", 422, "no characters"),
        ("api/document?domain=bank&id=../domain.yaml", 422, "no document"),
        ("api/document?domain=bank&id=rates&start=-1", 400, "start"),
        ("api/documents?domain=../bank", 404, "no domain"),
        ("api/threads?domain=none", 404, "no domain"),
        ("api/thread?domain=bank&id=none", 404, "no conversation"),
        ("api/thread/export?domain=bank&id=none", 404, "no conversation"),
        ("api/quality?domain=none", 404, "no domain"),
        ("api/nothing", 404, ""),
    ],
)
def test_a_refusal_says_why(client: httpx.Client, path: str, status: int, said: str) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"domain": "bank", "question": ""},
        {"domain": "bank", "question": "   "},
        {"domain": "bank", "question": "x" * 20_001},
        {"domain": "bank", "question": "x", "thread": ""},
        {"domain": "bank", "question": "x", "temperature": 1},
        {"domain": "bank", "question": 7},
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_before_the_stream(client: httpx.Client, body: Any) -> None:
    response = client.post("api/ask", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_a_form_of_another_site_cannot_ask(client: httpx.Client) -> None:
    """A browser sends these without asking first: a simple request, which no page may make for its reader."""
    body = json.dumps({"domain": "bank", "question": BOX_QUESTION})
    assert client.post("api/ask", content=body, headers={"content-type": "text/plain"}).status_code == 400
    foreign = {"content-type": "application/json", "origin": "https://evil.example"}
    assert client.post("api/ask", content=body, headers=foreign).status_code == 403


def test_conversations_with_any_id_are_read_renamed_exported_and_deleted(client: httpx.Client) -> None:
    name = "a/b ?&#ü\n'"
    ask(client, BOX_QUESTION, thread=name)
    given = {"domain": "bank", "id": name}
    renamed = client.patch("api/thread", params=given, json={"title": " Box  prices "})
    assert renamed.json() == {"id": name, "title": "Box prices"}
    [listed] = [one for one in client.get("api/threads", params=given).json()["threads"] if one["id"] == name]
    assert (listed["title"], listed["turns"], listed["damaged"]) == ("Box prices", 1, False)
    for form, suffix in (("markdown", ".md"), ("json", ".json")):
        exported = client.get("api/thread/export", params={**given, "format": form})
        assert BOX in exported.text
        assert exported.headers["content-disposition"].startswith("attachment; ")
        assert exported.headers["content-disposition"].endswith(suffix)
        assert "html" not in exported.headers["content-type"]
    assert client.delete("api/thread", params=given).json() == {"deleted": name}
    assert client.get("api/thread", params=given).status_code == 404
    assert client.delete("api/thread", params=given).status_code == 404


def test_ratings_are_shown_counted_changed_and_taken_back(client: httpx.Client) -> None:
    question = "How long may a safe deposit box stay?"
    before = client.get("api/quality", params={"domain": "bank"}).json()
    threads = [ask(client, question)["thread"] for _ in range(2)]
    body = {"domain": "bank", "thread": threads[0], "turn": 1}
    assert client.post("api/feedback", json={**body, "rating": "up"}).json()["feedback"]["rating"] == "up"
    rated = client.post("api/feedback", json={**body, "rating": "down", "correction": " A year. "}).json()
    assert rated == {"feedback": {"rating": "down", "correction": "A year."}}
    shown = client.get("api/thread", params={"domain": "bank", "id": threads[0]}).json()["turns"][0]
    assert shown["feedback"] == rated["feedback"]
    after = client.get("api/quality", params={"domain": "bank"}).json()
    assert after["questions"] == before["questions"] + 2
    assert {"question": question, "count": 2} in after["asked"]
    downs = [sum(day["down"] for day in one["feedback"]) for one in (before, after)]
    assert downs[1] == downs[0] + 1
    assert client.post("api/feedback", json={**body, "rating": None}).json() == {"feedback": None}
    shown = client.get("api/thread", params={"domain": "bank", "id": threads[0]}).json()["turns"][0]
    assert shown["feedback"] is None
    assert client.post("api/feedback", json={**body, "turn": 9, "rating": "up"}).status_code == 404
    assert client.post("api/feedback", json={**body, "rating": "sideways"}).status_code == 400
    assert client.post("api/feedback", json={**body, "rating": None, "correction": "A year."}).status_code == 400


def test_a_caller_that_leaves_stops_the_model_and_stores_nothing(
    client: httpx.Client, page: PageServer, page_api: Server
) -> None:
    page_api.disconnected.clear()
    page_api.responses[:] = [Reply("word " * 2000, pause=0.02)]
    body = {"domain": "writer", "question": BOX_QUESTION, "thread": "left"}
    with client.stream("POST", "api/ask", json=body) as response:
        next(line for line in response.iter_lines() if line == "event: text")
    assert page_api.disconnected.wait(10)
    assert client.get("api/thread", params={"domain": "writer", "id": "left"}).status_code == 404
    page.wait_until_idle()


def test_questions_of_the_page_are_counted_and_logged_as_others(
    page_folders: dict[str, Path], page_api: Server, caplog: pytest.LogCaptureFixture
) -> None:
    page_api.responses[:] = [Reply("word " * 5), Reply("word " * 2000, pause=0.02), Reply("word " * 20, break_after=3)]
    with (
        caplog.at_level(logging.INFO, logger="softgraft.server"),
        running_server(page_folders, log_questions=True) as server,
        httpx.Client(base_url=server.address, timeout=30, trust_env=False) as client,
    ):
        ask(client, BOX_QUESTION)
        ask(client, "Who is the tallest person in Hexley?")
        ask(client, BOX_QUESTION, "writer")
        body = {"domain": "writer", "question": BOX_QUESTION}
        with client.stream("POST", "api/ask", json=body) as response:
            next(line for line in response.iter_lines() if line == "event: text")
        server.wait_until_idle()
        assert events(client.post("api/ask", json=body))[-1][0] == "error"
        server.wait_until_idle()
        text = client.get("metrics").text
    for line in (
        'answers_total{domain="bank",outcome="answered"} 1.0',
        'answers_total{domain="bank",outcome="refused"} 1.0',
        'answers_total{domain="writer",outcome="answered"} 1.0',
        'first_token_seconds_count{domain="bank"} 2.0',
        'tokens_total{domain="writer",kind="completion"}',
        "disconnects_total 1.0",
    ):
        assert f"softgraft_{line}" in text
    assert "question=What%20does%20a%20safe%20deposit%20box%20cost%3F" in caplog.text


def test_a_domain_that_is_none_is_not_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="softgraft.server"):
        for name in ('"\\ud800"', f'"{"x" * 9000}"'):
            content = f'{{"domain": {name}, "question": "Is it?"}}'
            response = client.post("api/ask", content=content, headers={"content-type": "application/json"})
            assert response.status_code == 404
    assert "xxxx" not in caplog.text


def test_a_domain_with_problems_leaves_the_others_on_the_page(page_folders: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "domain.yaml").write_text("name: broken\ntitle: 7\nbackbone: [\n")
    with (
        running_server({"broken": broken, **page_folders}) as server,
        httpx.Client(base_url=server.address, timeout=30, trust_env=False) as client,
    ):
        listed = {one["name"]: one["title"] for one in client.get("api/domains").json()["domains"]}
        assert listed == {"broken": "broken", "bank": "Hexley Bank", "writer": "Letter writer"}
        # Whoever opens it learns why.
        assert "domain.yaml" in client.get("api/threads", params={"domain": "broken"}).json()["error"]["message"]


async def test_the_answer_is_the_turn_that_was_asked_for() -> None:
    """Another question of the conversation may be answered before this turn is read."""
    turns = [
        {"number": number, "question": question, "answer": answer, "citations": [], "query": question}
        for number, (question, answer) in enumerate([("When?", "Now."), ("Where?", "Here.")], 1)
    ]

    @dataclass
    class Answers:
        speaker: Any = None

    class Chain:
        answering = Answers()
        conversations = SimpleNamespace(transcript=lambda thread: {"turns": turns})

        def with_answering(self, answering: Any) -> Chain:
            return self

        async def astream(self, asked: Any, config: Any) -> AsyncIterator[dict[str, Any]]:
            yield {"question": "When?", "notices": []}
            yield {"answer": "Now."}
            yield {"citations": []}

    class Served:
        @asynccontextmanager
        async def aopen(self, name: str) -> AsyncIterator[Any]:
            yield SimpleNamespace(chain=Chain(), file=SimpleNamespace(backbone="x"))

    body = AskBody(domain="bank", question="When?", thread="1")
    found = [event async for event in answer_events(Served(), body, TokenUsage())]  # type: ignore[arg-type]
    name, data = found[-1]
    assert (name, data["turn"]["number"], data["turn"]["answer"]) == ("answer", 1, "Now.")


def test_an_error_within_a_stream_is_its_last_event(client: httpx.Client, page_api: Server) -> None:
    page_api.responses[:] = [Reply("word " * 20, break_after=3)]
    response = client.post("api/ask", json={"domain": "writer", "question": BOX_QUESTION, "thread": "broken"})
    name, data = events(response)[-1]
    assert name == "error"
    assert data["message"]
    assert data["status"] == 502
    assert client.get("api/thread", params={"domain": "writer", "id": "broken"}).status_code == 404


def test_an_answer_that_does_not_begin_in_time_is_refused(page_folders: dict[str, Path], page_api: Server) -> None:
    page_api.disconnected.clear()
    page_api.responses[:] = [Silence()]
    with (
        running_server(page_folders, first_token_seconds=3) as server,
        httpx.Client(base_url=server.address, timeout=30, trust_env=False) as client,
    ):
        response = client.post("api/ask", json={"domain": "writer", "question": BOX_QUESTION})
        name, data = events(response)[-1]
        assert (name, data["status"]) == ("error", 503)
        assert "within 3 seconds" in data["message"]
        server.wait_until_idle()


def test_callers_with_keys_see_only_their_own(page_folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keys = {name: new_key(file, name, domains) for name, domains in (("anna", ["bank"]), ("bert", []))}
    with running_server(page_folders, keys=file) as server, httpx.Client(base_url=server.address) as client:
        assert client.get("api/domains").status_code == 401
        assert client.get("").status_code == client.get("static/js/app.js").status_code == 200
        anna, bert = ({"headers": {"Authorization": f"Bearer {key}"}} for key in keys.values())
        assert [one["name"] for one in client.get("api/domains", **anna).json()["domains"]] == ["bank"]
        body = {"domain": "bank", "question": BOX_QUESTION, "thread": "mine"}
        answer = events(client.post("api/ask", json=body, timeout=30, **anna))[-1][1]
        assert answer["thread"] == "mine"
        client.post("api/feedback", json={"domain": "bank", "thread": "mine", "turn": 1, "rating": "up"}, **anna)
        given: dict[str, Any] = {"params": {"domain": "bank", "id": "mine"}}
        assert [one["id"] for one in client.get("api/threads", **given, **anna).json()["threads"]] == ["mine"]
        assert client.get("api/threads", **given, **bert).json()["threads"] == []
        for method in ("GET", "DELETE"):
            assert client.request(method, "api/thread", **given, **bert).status_code == 404
        assert "anna" not in client.get("api/thread", **given, **bert).text
        assert client.get("api/quality", **given, **bert).json()["feedback"] == []
        assert client.get("api/quality", **given, **anna).json()["questions"] == 1
        assert client.get("api/threads", params={"domain": "writer"}, **anna).status_code == 404


def test_the_files_of_the_page_and_nothing_else(client: httpx.Client) -> None:
    root = client.get("")
    assert root.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', root.text)
    assert len(named) == 3
    scripts = sorted(path.name for path in (STATIC / "js").iterdir())
    assert len(scripts) == 11
    for path in [*named, *(f"static/js/{name}" for name in scripts)]:
        assert client.get(path).status_code == 200
    for path in (
        "static/",
        "static/index.html",
        "static/../routes.py",
        "static/%2e%2e/routes.py",
        "static//etc/passwd",
    ):
        assert client.get(path).status_code == 404


def test_no_file_of_the_page_makes_html_of_text_or_needs_another_server() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|eval\(")
    inline = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", re.IGNORECASE)
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert len(files) >= 14
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not forbidden.search(text), path
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        if path.suffix == ".html":
            assert not inline.search(text)


def test_both_languages_have_the_same_texts() -> None:
    text = (STATIC / "js" / "i18n.js").read_text(encoding="utf-8")
    tables = [re.findall(r"^  (\w+):", part, re.MULTILINE) for part in re.split(r"const (?:EN|ZH) = ", text)[1:]]
    english, chinese = tables[0], tables[1][: len(tables[0])]
    assert len(english) > 90
    assert english == chinese
    used = {name for path in (STATIC / "js").glob("*.js") for name in re.findall(r'\bt\("(\w+)"', path.read_text())}
    assert used <= set(english)
