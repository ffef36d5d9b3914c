"""Agent middleware that adds a domain's evidence and soft prompt to each model call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.middleware.types import OmitFromInput
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.types import Command

from chains.answering.answering import Answering
from chains.answering.evidence import Evidence
from chains.chat.chat_model import SoftPromptChat
from chains.messages.content import plain_text, to_messages, to_text_messages
from prompts import TextTwins, Turn


class GraftState(AgentState[Any]):
    """Additional keys of the agent's result, from its last model call; the same as in the chain's result."""

    query: NotRequired[Annotated[str, OmitFromInput]]
    evidence: NotRequired[Annotated[list[dict[str, Any]], OmitFromInput]]
    evidence_score: NotRequired[Annotated[float | None, OmitFromInput]]
    refused: NotRequired[Annotated[bool, OmitFromInput]]
    citations: NotRequired[Annotated[list[dict[str, Any]], OmitFromInput]]


class GraftMiddleware(AgentMiddleware[GraftState, Any, Any]):
    """Adds the domain's evidence for the last human message, and its soft prompt, to each model call of an agent.

    The rendered template of the domain follows the agent's own system prompt, for this call only: the agent's stored
    messages do not change. A `SoftPromptChat` gets the soft slot as a block and fills it with vectors; any other model
    gets the text twin. The agent's result has `query`, `evidence` (including weak evidence), `evidence_score`,
    `refused` and `citations`.

    If the evidence is too weak, the reply is the domain's refusal, as in the chain, and the model is not called. An
    agent with tools may know more than the documents: its model is called without the evidence and may call tools. Once
    it has, it answers from their results; if it answers without any, its reply is replaced by the refusal.

    Args:
        answering: that of a domain, `domain.chain.answering`. An agent on the domain's own backbone uses
            `domain.chat_model`.
        refuse: False lets the model answer without evidence.
    """

    state_schema = GraftState

    def __init__(self, answering: Answering, *, refuse: bool = True) -> None:
        super().__init__()
        self.answering = answering
        self.refuse = refuse
        self.tools = []

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        grafted = self._graft(request)
        if grafted is None:
            return handler(request)
        response = self._refusal() if grafted.is_refused else handler(grafted.request)
        return self._with_citations(grafted, response)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        grafted = await asyncio.to_thread(self._graft, request)
        if grafted is None:
            return await handler(request)
        response = self._refusal() if grafted.is_refused else await handler(grafted.request)
        return await asyncio.to_thread(self._with_citations, grafted, response)

    def _graft(self, request: ModelRequest[Any]) -> _GraftedRequest | None:
        """The request with evidence and soft prompt; None if there is no human message yet."""
        last_human = next(
            (n for n in reversed(range(len(request.messages))) if isinstance(request.messages[n], HumanMessage)), None
        )
        if last_human is None or not (question := plain_text(request.messages[last_human]).strip()):
            return None
        answering, history = self.answering, _history(request.messages[:last_human])
        query = answering.query(question, history)
        [evidence] = answering.for_a_model.evidence_many([query], [question])
        if answering.settings.form != "quote" or isinstance(request.model, SoftPromptChat):
            # Evidence must fit the model's context. Any other model needs no backbone to count its tokens.
            evidence = answering.for_a_model.prepare(question, history, evidence).evidence
        # Without history, which is in the agent's messages already.
        prompt = answering.prompt(question, [], evidence)
        if isinstance(request.model, SoftPromptChat):
            rendered = to_messages(prompt)
        else:
            rendered = to_text_messages(prompt.fill(TextTwins(answering.template).__getitem__))
        system = [message for message in rendered if message.type == "system"]
        *examples, last = [message for message in rendered if message.type != "system"]
        messages = [_without_soft_slots(message) for message in request.messages]
        before, current, after = messages[:last_human], messages[last_human], messages[last_human + 1 :]
        if last.text.strip() != question or (isinstance(last.content, list) and len(last.content) > 1):
            # The template adds text to the question. Otherwise the human message stays, including images.
            current = cast(AnyMessage, last)
        return _GraftedRequest(
            request.override(
                system_message=_system(request.system_message, system),
                messages=[*examples, *before, current, *after],  # type: ignore[list-item]
            ),
            query,
            evidence,
            needs_documents=self.refuse and not any(message.type == "tool" for message in after),
        )

    def _refusal(self) -> ModelResponse[Any]:
        return ModelResponse(result=[AIMessage(self.answering.settings.refusal)])

    def _with_citations(self, grafted: _GraftedRequest, response: ModelResponse[Any]) -> ExtendedModelResponse[Any]:
        answers = [message for message in response.result if isinstance(message, AIMessage)]
        calls_tools = bool(answers) and bool(answers[-1].tool_calls)
        refused = grafted.needs_documents and not grafted.evidence.enough and not calls_tools
        if refused:
            response = self._refusal()
        reply = plain_text(answers[-1]) if answers and not calls_tools and not refused else ""
        checked = self.answering.cite(grafted.query, reply, grafted.evidence)
        evidence = grafted.evidence.to_state()
        update = {
            "query": grafted.query,
            "evidence": evidence["evidence"],
            "evidence_score": evidence["evidence_score"],
            "refused": refused,
            "citations": [asdict(citation) for citation in checked.citations],
        }
        return ExtendedModelResponse(response, Command(update=update))


@dataclass(frozen=True, slots=True)
class _GraftedRequest:
    request: ModelRequest[Any]
    query: str
    evidence: Evidence
    needs_documents: bool

    @property
    def is_refused(self) -> bool:
        """Whether nothing can answer: the evidence is too weak, and there is no tool to call."""
        return self.needs_documents and not self.evidence.enough and not self.request.tools


def _system(own: SystemMessage | None, rendered: Sequence[BaseMessage]) -> SystemMessage | None:
    """The agent's own system prompt, then the template's: the part that is constant over calls comes first."""
    messages = [*([own] if own is not None else []), *rendered]
    if len(messages) < 2:
        return SystemMessage(content=messages[0].content) if messages else None
    if all(isinstance(message.content, str) for message in messages):
        return SystemMessage(content="\n\n".join(str(message.content) for message in messages))
    blocks: list[str | dict[str, Any]] = []
    for number, message in enumerate(messages):
        if number:
            blocks.append({"type": "text", "text": "\n\n"})
        blocks += [message.content] if isinstance(message.content, str) else message.content
    return SystemMessage(content=blocks)


def _without_soft_slots(message: AnyMessage) -> AnyMessage:
    if isinstance(message.content, str) or not any(map(_is_soft, message.content)):
        return message
    return message.model_copy(update={"content": [block for block in message.content if not _is_soft(block)]})


def _is_soft(block: object) -> bool:
    value = block.get("value") if isinstance(block, dict) else None
    return isinstance(value, dict) and value.get("type") == "soft_prompt"


def _history(messages: Sequence[AnyMessage]) -> list[Turn]:
    """The human and AI messages with text, without tool calls and their results."""
    history = []
    for message in messages:
        if isinstance(message, HumanMessage | AIMessage) and (text := plain_text(message).strip()):
            history.append(Turn("user" if isinstance(message, HumanMessage) else "assistant", text))
    return history
