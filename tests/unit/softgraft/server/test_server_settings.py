"""Settings of a server that could never have an effect are refused, with what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from softgraft.errors import UsageError
from softgraft.server.running import bind
from softgraft.server.settings import ServerSettings


@pytest.mark.parametrize(
    "origin",
    [
        "*", "null", "", "chat.example", "https://chat.example/", "https://chat.example/page", "https://Chat.example",
        "https://chat.example:443", "http://chat.example:80", "https://anna@chat.example", "https://chat.example:x",
        "https://chat.example?x", "https://", "//chat.example", "https://[",
    ],
)  # fmt: skip
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="--cors"):
        ServerSettings(origins=("https://good.example", origin))


@pytest.mark.parametrize(
    "origin", ["https://chat.example", "http://localhost:3000", "https://[::1]:8443", "chrome-extension://abcdef"]
)
def test_the_origin_of_a_page_is_taken(origin: str) -> None:
    assert ServerSettings(origins=(origin,)).origins == (origin,)


@pytest.mark.parametrize(
    "name",
    ["", "*", "bank.example:8000", "https://bank.example", "bank.example/x", "[::1]", "bänk.example", "a b", "n" * 254],
)
def test_a_name_that_no_host_header_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--allow-host"):
        ServerSettings(hosts=(name,))


@pytest.mark.parametrize("name", ["bank.example", "Bank.example", "bank_1", "192.168.1.4", "fe80::1"])
def test_a_name_of_a_host_header_is_taken(name: str) -> None:
    assert ServerSettings(hosts=(name,)).hosts == (name,)


@pytest.mark.parametrize(
    "address", ["bank.example", "bank.example:8000", "//bank.example", "ftp://bank.example", "https://", "https://a?b",
                "https://a#b", "https://["],
)  # fmt: skip
def test_a_public_url_without_scheme_or_host_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--public-url"):
        ServerSettings(public_url=address)


def test_an_address_of_a_proxy_is_taken() -> None:
    for address in ("", "https://bank.example", "http://10.0.0.1:8080/softgraft/"):
        assert ServerSettings(public_url=address).public_url == address


@pytest.mark.parametrize("name", ["first_token_seconds", "drain_seconds"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_refused(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        ServerSettings(**given)


@pytest.mark.enable_socket
def test_a_host_that_is_no_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        bind(ServerSettings(host=f"{'a' * 64}.example", keys=tmp_path / "keys"))
