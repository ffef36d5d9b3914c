"""The chat model of a domain, with its graft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent

from chains import GraftMiddleware, SoftPromptChat
from chains.messages.content import soft_block
from softgraft import Domain


def test_it_fills_the_slot_with_the_best_graft(grafted: Domain, make_domain: Callable[..., Domain]) -> None:
    for domain, graft in ((grafted, "soft"), (make_domain("plain", ingest=True), "text-twin")):
        messages: Any = [("system", ["Help. ", soft_block("domain")]), ("human", "What is the cost of a card?")]
        model = domain.chat_model
        assert isinstance(model, SoftPromptChat)
        reply = model.invoke(messages)
        assert reply.response_metadata["graft"] == graft
        assert reply.usage_metadata is not None
        emptied = model.model_copy(update={"fills": {"domain": None}}).invoke(messages)
        assert emptied.usage_metadata is not None
        assert reply.usage_metadata["input_tokens"] > emptied.usage_metadata["input_tokens"]


def test_an_agent_on_it_answers_as_the_chain(grafted: Domain) -> None:
    question = "What is the cost of a replacement card?"
    agent = create_agent(grafted.chat_model, middleware=[GraftMiddleware(grafted.chain.answering)])
    found = agent.invoke({"messages": [("human", question)]})
    assert found["messages"][-1].text.strip() == grafted.chain.invoke({"question": question})["answer"]
    assert found["messages"][-1].response_metadata["graft"] == "soft"
