"""Questions are answered where the caches cannot be written, and what is not kept is said once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from softgraft import Domain
from tests.support.hashing_encoder import HashingEncoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]
QUESTION = "What is the cost of a replacement card?"


@pytest.fixture
def domain(make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> Domain:
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    made = make_domain("house", ingest=True)
    made.close()
    return made


def test_a_question_is_answered_without_the_cache(run: Run, domain: Domain) -> None:
    (domain.build / "passages").write_text("a file where the folder should be")
    place = str(domain.folder)
    code, out, err = run("ask", place, QUESTION)
    assert (code, bool(out.strip())) == (0, True)
    assert err.count("the cache of keys and values in ") == 1
    assert "cannot be used (Not a directory)" in err
    code, out, err = run("ask", place, QUESTION, "--json")
    assert (code, json.loads(out)["question"]) == (0, QUESTION)
    assert err.count("\n") == 1
    code, out, err = run("ingest", place, "--warm")
    assert code == 0
    assert "cache: 0 of 8 passages" in out
    assert "make build/passages writable" in err


def test_a_conversation_that_cannot_be_kept_is_an_error_with_a_next_step(run: Run, domain: Domain) -> None:
    (domain.build / "memory.locks").write_text("a file where the folder should be")
    code, out, err = run("ask", str(domain.folder), QUESTION, "--thread", "anna")
    assert (code, out) == (6, "")
    assert "of the conversations in " in err
    assert "give this user the right to write to " in err
