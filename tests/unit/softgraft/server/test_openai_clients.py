"""Real clients of OpenAI's API, over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from langchain_openai import ChatOpenAI
from live_server import QUESTION, QUOTE, LiveServer, ask, running, two_domains
from openai import AsyncOpenAI, NotFoundError

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Iterator[LiveServer]:
    with running(two_domains(tmp_path_factory.mktemp("clients"), backbone_folders[0])) as server:
        yield server


def test_a_sync_client_gets_an_answer_with_its_citation(live: LiveServer) -> None:
    reply = ask(live.client())
    message = reply.choices[0].message
    assert QUOTE in message.content
    cited = message.annotations[0].url_citation
    assert QUOTE in message.content[cited.start_index : cited.end_index]
    citation = reply.model_extra["citations"][0]
    assert (citation["quote"], citation["doc_id"]) == (QUOTE, "cards")
    # The link leads to the quoted characters of the stored document.
    link = urlsplit(cited.url)
    place, _, span = link.fragment.partition("?")
    assert (f"{link.scheme}://{link.netloc}", place) == (live.address, "/quotes/document/cards")
    start, end = (int(parse_qs(span)[name][0]) for name in ("start", "end"))
    with live.served.open("quotes") as domain:
        assert domain.index.document("cards").text[start:end] == QUOTE
    about = reply.model_extra["softgraft"]
    assert (about["refused"], about["supported"], about["form"]) == (False, True, "quote")
    assert message.refusal is None


def test_a_refusal_is_marked(live: LiveServer) -> None:
    reply = ask(live.client(), question="Who composed the opera about the emperor of the moon?")
    message = reply.choices[0].message
    assert message.refusal == message.content != ""
    assert reply.model_extra["softgraft"]["refused"] is True
    assert reply.model_extra["citations"] == []


def test_a_stream_adds_up_to_the_answer(live: LiveServer) -> None:
    whole = ask(live.client(), "words")
    chunks = list(ask(live.client(), "words", stream=True, stream_options={"include_usage": True}))
    *answer, last, usage = chunks
    texts = [chunk.choices[0].delta.content or "" for chunk in answer]
    assert len(texts) > 3
    assert "".join(texts) == whole.choices[0].message.content
    assert (last.choices[0].finish_reason, usage.choices) == (whole.choices[0].finish_reason, [])
    assert last.model_extra["citations"] == whole.model_extra["citations"]
    assert last.model_extra["softgraft"] == whole.model_extra["softgraft"]
    assert last.model_extra["softgraft"]["supported"] is False
    assert "annotations" in last.choices[0].delta.model_extra
    assert usage.usage.completion_tokens == whole.usage.completion_tokens > 0
    assert usage.usage.prompt_tokens == whole.usage.prompt_tokens > 0
    # The second answer reuses the prompt of the first.
    assert usage.usage.prompt_tokens_details.cached_tokens > 0


async def test_an_async_client_streams(live: LiveServer) -> None:
    async with AsyncOpenAI(base_url=f"{live.address}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="quotes", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert QUOTE in text


async def test_langchain_invokes_and_streams(live: LiveServer) -> None:
    chat = ChatOpenAI(base_url=f"{live.address}/v1", api_key="none", model="words", max_retries=0)  # type: ignore[arg-type]
    message = await chat.ainvoke([("human", QUESTION)])
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0
    assert "".join([chunk.text async for chunk in chat.astream(QUESTION)]) == message.text


def test_the_models_are_the_domains(live: LiveServer) -> None:
    client = live.client()
    ids = [model.id for model in client.models.list()]
    [long] = [one for one in ids if one.endswith(":quotes")]
    assert set(ids) >= {"quotes", "words", long}
    assert client.models.retrieve("quotes").owned_by == "softgraft"
    assert QUOTE in ask(client, long).choices[0].message.content
    for unknown in ("missing", "other-backbone:quotes"):
        with pytest.raises(NotFoundError) as raised:
            ask(client, unknown)
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_embeddings_are_those_of_the_encoder(live: LiveServer) -> None:
    texts = ["one card", "two cards"]
    with live.served.open("quotes") as domain:
        expected = domain.encoder.encode(texts)
    # By default the client asks for base64.
    options: list[dict[str, Any]] = [{}, {"encoding_format": "float", "dimensions": 256, "user": "anna"}]
    for given in options:
        reply = live.client().embeddings.create(model="quotes", input=texts, **given)
        for vector, own in zip(reply.data, expected, strict=True):
            assert vector.embedding == pytest.approx(own.tolist())
        assert reply.usage.total_tokens > 0


def test_a_thread_remembers_and_messages_are_history(live: LiveServer) -> None:
    client, follow_up = live.client(), "And a withdrawal abroad?"
    extra: Any = {"metadata": {"thread_id": "anna"}}
    ask(client, **extra)
    remembered = ask(client, question=follow_up, **extra)
    assert remembered.model_extra["softgraft"]["thread_id"] == "anna"
    with live.served.open("quotes") as domain:
        turns = domain.conversations.history("anna")
    assert [turn["question"] for turn in turns] == [QUESTION, follow_up]
    assert turns[1]["history"]["exchanges"] == 1
    sent = client.chat.completions.create(
        model="quotes",
        messages=[
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": turns[0]["answer"]},
            {"role": "user", "content": follow_up},
        ],
    )
    assert sent.choices[0].message.content == remembered.choices[0].message.content
    assert sent.model_extra is not None
    assert sent.model_extra["softgraft"]["query"] == remembered.model_extra["softgraft"]["query"]


@pytest.mark.heavy
def test_the_llm_command_gets_an_answer(live: LiveServer, tmp_path: Path) -> None:
    pytest.importorskip("llm", reason="the command-line tool `llm` is not installed")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: quotes\n  model_name: quotes\n  api_base: {live.address}/v1\n"
    )
    # Plugins that are installed for other reasons are not loaded.
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": "", "OPENAI_API_KEY": "none"}
    for options in ([], ["--no-stream"]):
        command = [sys.executable, "-m", "llm", "-m", "quotes", *options, QUESTION]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert QUOTE in done.stdout
