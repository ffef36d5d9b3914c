"""A teacher behind an API: it answers questions, and lists the tokens it finds likely."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiError, Reply, Server, open_shop, serve

from chains import RemoteModelError
from retrieval import Encoder
from soft_prompt import Backbone
from soft_prompt.training.methods.data import MethodData
from softgraft import Domain

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.heavy]

ANSWER = "A replacement card costs 12 euros."
QUESTIONS = ["What does a replacement card cost?", "How much is a replacement card?", "What is the card fee?"]
TRAIN = (
    "train:\n  method: distillation\n  teacher: openai:large\n  length: 4\n  adapter: none\n  epochs: 1\n"
    "  min_steps: 1\n  batch_size: 3\nstart: text-twin\nanswer:\n  form: generate\n  max_tokens: 12\n"
)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def make_domain(
    tmp_path: Path, server: Server, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Domain]]:
    """Makes a domain on a local model, whose questions have no answers."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    opened: list[Domain] = []

    def make() -> Domain:
        settings = f"{TRAIN}backbone: embedded\nbase_url: {server.url}\n"
        domain = open_shop(tmp_path / f"shop-{len(opened)}", server, encoder, settings)
        opened.append(domain)
        for split in ("train", "dev"):
            rows = [{"id": f"{split}-{n}", "question": q, "group": f"{split}{n}"} for n, q in enumerate(QUESTIONS)]
            (domain.folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        domain.ingest()
        return domain

    yield make
    for domain in opened:
        domain.close()


def listed(backbone: Backbone, text: str) -> list[dict[str, Any]]:
    """A reply's tokens as OpenAI's API lists them."""
    pieces = [backbone.tokenizer.decode([token]) for token in backbone.encode_text(text)]
    return [
        {
            "token": piece,
            "bytes": list(piece.encode()),
            "logprob": -0.1,
            "top_logprobs": [
                {"token": piece, "bytes": list(piece.encode()), "logprob": -0.1},
                {"token": " the", "bytes": list(b" the"), "logprob": -3.0},
            ],
        }
        for piece in pieces
    ]


def test_the_teacher_is_asked_once_and_its_tokens_are_learned(
    make_domain: Callable[[], Domain], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = make_domain()
    backbone = domain.store.backbone
    server.responses = [Reply(ANSWER, tokens=tuple(listed(backbone, ANSWER)))]
    grafting = domain.grafting()
    data = grafting.training_set(domain.items("train"), domain.items("dev"))
    assert {item.response for _, item in data.train} == {ANSWER}
    assert data.taught == 6
    assert all(request["logprobs"] is True and request["top_logprobs"] == 20 for request in server.requests)
    targets = grafting.teacher.targets(data.train)
    ids = backbone.encode_text(ANSWER)
    for one in targets:
        assert one is not None
        assert one.ids[:, 0].tolist() == [*ids, backbone.end_id]
        assert one.log_probabilities[:-1, 0].tolist() == pytest.approx([-0.1] * len(ids))
        assert one.log_probabilities[-1, 0] == 0
    # A run of its own reads the replies from the file.
    assert domain.grafting().teacher.targets(data.train)[0] is not None
    learned: list[object] = []
    monkeypatch.setattr(MethodData, "require", lambda own, *_: learned.extend(own.teacher))
    asked = len(server.requests)
    report = domain.train()
    assert report.taught == 6
    assert len(learned) == len(data.train)
    assert None not in learned
    assert len(server.requests) == asked, "replies are remembered"


@pytest.mark.parametrize("tokens", ["none", "other"])
def test_an_api_without_the_models_tokens_gives_answers_alone(
    make_domain: Callable[[], Domain], server: Server, tokens: str
) -> None:
    domain = make_domain()
    entries = [] if tokens == "none" else [{"token": c, "logprob": -0.1, "top_logprobs": []} for c in ANSWER]
    server.responses = [Reply(ANSWER, tokens=tuple(entries))]
    grafting = domain.grafting()
    data = grafting.training_set(domain.items("train"), domain.items("dev"))
    assert {item.response for _, item in data.train} == {ANSWER}
    assert grafting.teacher.targets(data.train) == [None] * len(data.train)


def test_an_api_that_knows_no_listed_tokens_is_asked_without(make_domain: Callable[[], Domain], server: Server) -> None:
    domain = make_domain()
    server.responses = [ApiError(400, "logprobs is not supported"), Reply(ANSWER)]
    data = domain.grafting().training_set(domain.items("train")[:1], ())
    assert [item.response for _, item in data.train] == [ANSWER]
    assert "logprobs" not in server.requests[-1]


def test_refusals_are_no_answers(make_domain: Callable[[], Domain], server: Server) -> None:
    domain = make_domain()
    server.responses = [Reply(domain.file.refusal)]
    data = domain.grafting().training_set(domain.items("train"), ())
    assert (data.train, data.taught) == ([], 0)


def test_a_teacher_that_fails_leaves_its_replies(make_domain: Callable[[], Domain], server: Server) -> None:
    domain = make_domain()
    server.responses = [Reply(ANSWER), ApiError(401, "wrong key")]
    with pytest.raises(RemoteModelError, match="refuses the key"):
        domain.train()
    assert not (domain.build / "soft_prompt").exists()
    asked = len(server.requests)
    # The first question is not paid for twice, even if the last line of the file is cut off.
    with (domain.build / "teacher.jsonl").open("ab") as file:
        file.write(b'\n{"key": "')
    server.responses = [Reply(ANSWER)]
    assert domain.train().taught == 6
    # Dev asks the same three questions.
    assert len(server.requests) - asked == 2
