"""A server that repeats keys and headers in its errors and replies: no output, report or message contains them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from api_server import QUESTION, ApiError, Reply, open_shop, serve

from chains import RemoteModelError
from softgraft.__main__ import main
from tests.support.hashing_encoder import HashingEncoder

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

KEY, HEADER, PASSWORD = "correct-horse-battery-staple", "s3same-open", "p%40ss-w0rd"
SECRETS = (KEY, HEADER, PASSWORD, "p@ss-w0rd")
ECHO = (
    f"bad request: {{'authorization': 'Bearer {KEY}', 'x-tenant-key': '{HEADER}', "
    f"'url': 'http://anna:{PASSWORD}@h/v1', 'password': 'p@ss-w0rd'}}, {json.dumps(KEY)} \x1b[2J"
)
SETTINGS = (
    "remote:\n  max_retries: 0\n  timeout_seconds: 5\n  options:\n"
    f"    default_headers: {{X-Tenant-Key: {HEADER}, Connection: close}}\n"
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs a command: exit code, and all that it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["softgraft", *arguments])
        try:
            main()
            code = 0
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_secrets_are_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    with serve() as server:
        address = server.url.replace("http://", f"http://anna:{PASSWORD}@")
        backbone = f"backbone: openai:small-model\nbase_url: {address}\n"
        domain = open_shop(tmp_path / "shop", server, HashingEncoder(dimension=256), backbone + SETTINGS)
        place = str(domain.folder)
        for status in (400, 401, 403, 404, 429, 500):
            server.responses = [ApiError(status, ECHO)]
            with pytest.raises(RemoteModelError) as caught:
                domain.chain.invoke({"question": QUESTION})
            said = [str(caught.value), *(run("ask", place, QUESTION, *more)[1] for more in ((), ("--json",)))]
            for text in said:
                assert "bad request" in text
                assert [secret for secret in SECRETS if secret in text] == []
                assert "hidden" in text
        # A key in the reply itself, which arrives in several pieces.
        server.responses = [Reply()]
        server.reply = lambda request: f"The key is {KEY}, and {HEADER}."
        for more in ((), ("--json",)):
            code, text = run("ask", place, QUESTION, *more)
            assert (code, text.count("[hidden]")) == (0, 2)
            assert [secret for secret in SECRETS if secret in text] == []
        for command in (("status", place), ("doctor", place), ("status", place, "--json")):
            assert [secret for secret in SECRETS if secret in run(*command)[1]] == []
        code, text = run("eval", place, "--json")
        assert code == 0
        assert [secret for secret in SECRETS if secret in text] == []
        # The request had them.
        assert server.headers[-1]["x-tenant-key"] == HEADER
        domain.close()
    reports = [path.read_text(encoding="utf-8") for path in (domain.build / "reports").iterdir()]
    assert len(reports) == 2
    assert [secret for secret in SECRETS for report in reports if secret in report] == []
    assert '"X-Tenant-Key": "[hidden]"' in "".join(reports)


def test_a_traceback_of_last_resort_hides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def fail(*_: object, **__: object) -> None:
        try:
            raise KeyError(f"Bearer {KEY}")
        except KeyError as error:
            raise AssertionError(f"no route to http://anna:{PASSWORD}@example.org") from error

    monkeypatch.setattr("softgraft.jobs.doctor.examine", fail)
    code, text = run("doctor")
    assert code == 1
    assert "Traceback" in text
    assert [secret for secret in SECRETS if secret in text] == []
