"""Who may call a server: keys, hosts and origins; and what its responses and its log contain."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import QUESTION, QUOTE, LiveServer, ask, running, two_domains, wait_until
from openai import AuthenticationError, NotFoundError

from softgraft.errors import StorageError, UsageError
from softgraft.server.keys import KeyFile, new_key, read_keys
from softgraft.server.settings import ServerSettings, is_loopback, require_keys

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]


# A server with keys, its file of keys, and the keys by name.
Locked = tuple[LiveServer, Path, dict[str, str]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> dict[str, Path]:
    return two_domains(tmp_path_factory.mktemp("keys"), backbone_folders[0])


@pytest.fixture(scope="module")
def locked(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    file = tmp_path_factory.mktemp("secret") / "keys.jsonl"
    keys = {"anna": new_key(file, "anna", ["quotes"]), "bert": new_key(file, "bert", [])}
    with running(folders, keys=file) as server:
        yield server, file, keys


@pytest.fixture(scope="module")
def unlocked(folders: dict[str, Path]) -> Iterator[LiveServer]:
    with running(folders, origins=("https://chat.example",), hosts=("bank.example",)) as server:
        yield server


def test_a_key_is_stored_as_a_salted_hash(tmp_path: Path) -> None:
    file = tmp_path / "private" / "keys.jsonl"
    keys = [new_key(file, "anna", ["bank"]), new_key(file, "bert", [])]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(key in file.read_text() for key in keys)
    assert [(key.name, key.domains) for key in read_keys(file)] == [("anna", ("bank",)), ("bert", None)]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["salt"] for line in lines}) == len({line["hash"] for line in lines}) == 2
    found = KeyFile(file)
    assert [found.caller(key).name for key in keys] == ["anna", "bert"]  # type: ignore[union-attr]
    assert found.caller(keys[0][:-1]) is None
    with pytest.raises(UsageError, match="'anna'"):
        new_key(file, "anna", [])
    with pytest.raises(UsageError, match="two words"):
        new_key(file, "two words", [])
    assert len(read_keys(file)) == 2


def test_damaged_keys_let_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    key = new_key(file, "anna", [])
    file.write_text(file.read_text() + '{"name": "x"}\n')
    with pytest.raises(StorageError, match="line 2"):
        KeyFile(file).caller(key)


def test_a_name_with_a_line_separator_damages_no_other_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    key = new_key(file, "anna", ["line\u2028separator", "next\x85line"])
    assert new_key(file, "bert", [])
    [anna, _] = read_keys(file)
    assert anna.domains == ("line\u2028separator", "next\x85line")
    caller = KeyFile(file).caller(key)
    assert caller is not None
    assert caller.name == "anna"


def test_what_is_no_file_of_keys_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "domains"
    folder.mkdir()
    folder.chmod(0o755)
    notes = tmp_path / "notes.txt"
    notes.write_text("not keys\n")
    notes.chmod(0o644)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    for path, mode in ((folder, 0o755), (notes, 0o644), (pipe, 0o644)):
        path.chmod(mode)
        with pytest.raises(StorageError, match="cannot be read"):
            new_key(path, "anna", [])
        assert stat.S_IMODE(path.stat().st_mode) == mode
        # A server whose file was replaced must not wait for the other end of a pipe.
        with pytest.raises(StorageError, match="cannot be read"):
            KeyFile(path).caller("sg-x")
    assert notes.read_text() == "not keys\n"


def test_a_request_without_a_valid_key_is_refused(locked: Locked) -> None:
    server, _, keys = locked
    with pytest.raises(AuthenticationError) as raised:
        ask(server.client("sg-wrong"))
    assert (raised.value.code, raised.value.type) == ("invalid_api_key", "authentication_error")
    with server.http() as http:
        for path in ("/v1/models", "/v1/nothing", "/api/domains", "/metrics"):
            response = http.get(path)
            assert (response.status_code, path) == (401, path)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        for header in ("Basic abc", f"Bearer {keys['anna']}x", "Bearer", keys["anna"]):
            assert http.get("/v1/models", headers={"Authorization": header}).status_code == 401
        # These contain nothing: whoever watches the server has no key.
        assert http.get("/healthz").status_code == 200
        assert "quotes" not in http.get("/readyz").text


def test_a_key_allows_its_domains_only(locked: Locked) -> None:
    server, _, keys = locked
    anna, bert = server.client(keys["anna"]), server.client(keys["bert"])
    assert QUOTE in ask(anna).choices[0].message.content
    assert {model.id.rpartition(":")[2] for model in anna.models.list()} == {"quotes"}
    assert {model.id.rpartition(":")[2] for model in bert.models.list()} == {"quotes", "words"}
    messages = []
    for model in ("words", "missing"):
        with pytest.raises(NotFoundError) as raised:
            ask(anna, model)
        messages.append(raised.value.message.replace(model, "?"))
    # It does not say which domains others have.
    assert messages[0] == messages[1]
    assert ask(bert, "words").choices[0].message.content


def test_callers_do_not_share_conversations(locked: Locked) -> None:
    server, _, keys = locked
    for name in ("anna", "bert"):
        reply = ask(server.client(keys[name]), extra_body={"metadata": {"thread_id": "1"}})
        assert reply.model_extra["softgraft"]["thread_id"] == "1"
    with server.served.open("quotes") as domain:
        turns = {one.thread: one.turns for one in domain.conversations.threads()}
    assert turns == {"anna/1": 1, "bert/1": 1}


def test_a_deleted_line_revokes_its_key(locked: Locked) -> None:
    _, file, _ = locked
    key, before = new_key(file, "carl", []), file.read_text()
    keys = KeyFile(file)
    assert keys.caller(key) is not None
    file.write_text("".join(line + "\n" for line in before.splitlines() if "carl" not in line))
    keys._checked = 0.0
    assert keys.caller(key) is None


def test_another_address_requires_keys(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.4", "bank.example"):
        assert not is_loopback(host)
        with pytest.raises(UsageError, match="no keys"):
            require_keys(ServerSettings(host=host))
        require_keys(ServerSettings(host=host, keys=tmp_path / "keys"))
    for host in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"):
        require_keys(ServerSettings(host=host))


def test_foreign_pages_are_kept_out(unlocked: LiveServer) -> None:
    body = {"model": "quotes", "messages": [{"role": "user", "content": QUESTION}]}
    with unlocked.http() as http:
        # The name that a page of an attacker has, pointed at this machine.
        for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:8000"):
            response = http.get("/v1/models", headers={"Host": host})
            assert (response.status_code, host) == (421, host)
        for host in ("localhost", "127.0.0.1:1", "[::1]:8000", "Bank.example"):
            assert http.get("/v1/models", headers={"Host": host}).status_code == 200
        for origin, status in (
            ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), ("http://[", 403),
            (unlocked.address, 200), ("https://chat.example", 200),
        ):  # fmt: skip
            response = http.post("/v1/chat/completions", json=body, headers={"Origin": origin})
            assert (response.status_code, origin) == (status, origin)
        # A form of another page can send this without asking first.
        response = http.post("/v1/chat/completions", content=json.dumps(body), headers={"Content-Type": "text/plain"})
        assert response.status_code == 400


def test_cors_is_for_the_configured_origins(unlocked: LiveServer, locked: Locked) -> None:
    def allowed(server: LiveServer, origin: str) -> str | None:
        ask_first = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        with server.http() as http:
            response = http.options("/v1/chat/completions", headers=ask_first)
            return response.headers.get("Access-Control-Allow-Origin")

    assert allowed(unlocked, "https://chat.example") == "https://chat.example"
    assert allowed(unlocked, "https://evil.example") is None
    assert allowed(locked[0], "https://chat.example") is None
    # OpenAI's client for browsers sends headers about itself, which a browser asks about first.
    with unlocked.http() as http:
        ask_first = {"Origin": "https://chat.example", "Access-Control-Request-Method": "POST"}
        asked = "authorization,content-type,x-stainless-os"
        response = http.options("/v1/models", headers={**ask_first, "Access-Control-Request-Headers": asked})
    assert response.status_code == 200
    assert "x-stainless-os" in response.headers["Access-Control-Allow-Headers"]


def test_every_response_has_its_headers(unlocked: LiveServer, locked: Locked) -> None:
    ids = set()
    with unlocked.http() as http, locked[0].http() as other:
        for response in (
            http.get("/v1/models"), http.get("/nothing"), http.get("/healthz"), http.post("/v1/embeddings", json={}),
            http.get("/v1/models", headers={"Host": "evil.example"}), other.get("/v1/models"),
        ):  # fmt: skip
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
            assert "server" not in response.headers
            ids.add(response.headers["X-Request-Id"])
    assert len(ids) == 6


def lines_of(caplog: pytest.LogCaptureFixture, key: str) -> list[str]:
    """The log lines of the requests with a key."""
    lines = [record.getMessage() for record in caplog.records if record.name == "softgraft.server"]
    return [line for line in lines if line.endswith(f" key={key}")]


def test_the_log_has_ids_and_no_questions(
    locked: Locked, folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    server, _, keys = locked
    with caplog.at_level(logging.INFO, logger="softgraft.server"):
        with server.http(headers={"Authorization": f"Bearer {keys['anna']}"}) as http:
            body = {"model": "quotes", "messages": [{"role": "user", "content": QUESTION}]}
            response = http.post("/v1/chat/completions?secret=1", json=body)
            http.get("/v1/%0aforged")
        # A line is written after its response, so the line of an earlier test's request may come first.
        wait_until(lambda: len(lines_of(caplog, "anna")) == 2)
        [line, forged] = lines_of(caplog, "anna")
        assert line.startswith(f"id={response.headers['X-Request-Id']} POST /v1/chat/completions 200 ")
        assert line.endswith(" domain=quotes key=anna")
        assert "\n" not in forged
        assert not any(text in caplog.text for text in ("replacement", "secret", keys["anna"], "12 euros"))
        with running({"quotes": folders["quotes"]}, log_questions=True) as asked:
            ask(asked.client())
            wait_until(lambda: "replacement" in caplog.text)


def test_the_metrics_count_and_quote_nobody(unlocked: LiveServer) -> None:
    ask(unlocked.client(), "words")
    wait_until(lambda: unlocked.limits.running == 0)
    with unlocked.http() as http:
        text = http.get("/metrics").text
    assert 'softgraft_answers_total{domain="words",outcome="answered"}' in text
    assert 'softgraft_tokens_total{domain="words",kind="completion"}' in text
    assert "softgraft_running_requests 0.0" in text
    assert "replacement" not in text


def test_made_up_methods_and_paths_add_no_metrics(unlocked: LiveServer) -> None:
    with unlocked.http() as http:
        before = len(http.get("/metrics").text.splitlines())
        for number in range(20):
            http.request(f"MADE{number}", f"/nothing/{number}")
        text = http.get("/metrics").text
    assert "MADE" not in text
    # One series for all of them, whatever their number is.
    assert len(text.splitlines()) - before < 30


def test_ready_when_loaded(folders: dict[str, Path]) -> None:
    with running(folders, preload=True) as server, server.http() as http:
        deadline = time.monotonic() + 20
        while (response := http.get("/readyz")).status_code != 200:
            assert response.json()["status"] == "loading"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert response.json() == {"status": "ready", "domains": 2, "problems": 0}
