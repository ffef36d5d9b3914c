"""A domain's evidence and soft prompt in anyone's agent."""

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
from prompts import RenderedPrompt, TextTwins, Turn


class GraftState(AgentState[Any]):
    """What the agent's result has besides its messages: of its last call of the model, as the chain's result has it."""

    query: NotRequired[Annotated[str, OmitFromInput]]
    evidence: NotRequired[Annotated[list[dict[str, Any]], OmitFromInput]]
    evidence_score: NotRequired[Annotated[float | None, OmitFromInput]]
    citations: NotRequired[Annotated[list[dict[str, Any]], OmitFromInput]]


class GraftMiddleware(AgentMiddleware[GraftState, Any, Any]):
    """Gives each call of an agent's model the domain's evidence for the last human message, and its soft prompt.

    The domain's template is rendered with the evidence and put behind the agent's own system prompt, for this call
    alone: the conversation that the agent keeps is not touched. A `SoftPromptChat` gets the soft slot as a block, which
    it fills with its vectors; any other model gets the text twin. Evidence that is too weak is withheld. The agent's
    result has `query`, `evidence`, `evidence_score` and `citations`, and what was withheld is in `evidence` too.

    Args:
        answering: of a domain: `domain.chain.answering`.
    """

    state_schema = GraftState

    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self.answering = answering
        self.tools = []

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Call the model with evidence and soft prompt."""
        grafted = self._grafted(request)
        if grafted is None:
            return handler(request)
        return self._told(grafted, handler(grafted.request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """As `wrap_model_call`; the search runs off the event loop."""
        grafted = await asyncio.to_thread(self._grafted, request)
        if grafted is None:
            return await handler(request)
        response = await handler(grafted.request)
        return await asyncio.to_thread(self._told, grafted, response)

    def _grafted(self, request: ModelRequest[Any]) -> _Grafted | None:
        """The request with evidence and soft prompt in it; None where nothing was asked yet."""
        place = next((n for n in reversed(range(len(request.messages))) if request.messages[n].type == "human"), None)
        if place is None or not (question := plain_text(request.messages[place]).strip()):
            return None
        answering, turns = self.answering, _turns(request.messages[:place])
        query = answering.query(question, turns)
        [found] = answering.evidence_many([query])
        evidence = answering.prepare(question, turns, found).evidence
        # The conversation itself is in the agent's messages already.
        prompt = answering.prompt(question, [], evidence)
        rendered = _rendered(prompt, request, answering)
        system = [message for message in rendered if message.type == "system"]
        *examples, last = [message for message in rendered if message.type != "system"]
        said = [_unforged(message) for message in request.messages]
        before, asked, behind = said[:place], said[place], said[place + 1 :]
        if last.text.strip() != question or (isinstance(last.content, list) and len(last.content) > 1):
            asked = cast(
                AnyMessage, last
            )  # The template says more than the question; else what was asked stays, pictures and all.
        return _Grafted(
            request.override(
                system_message=_system(request.system_message, system),
                messages=[*examples, *before, asked, *behind],  # type: ignore[list-item]
            ),
            query,
            evidence,
        )

    def _told(self, grafted: _Grafted, response: ModelResponse[Any]) -> ExtendedModelResponse[Any]:
        answers = [message for message in response.result if isinstance(message, AIMessage)]
        reply = plain_text(answers[-1]) if answers and not answers[-1].tool_calls else ""
        cited = self.answering.cite(grafted.query, reply, grafted.evidence)
        state = grafted.evidence.to_state()
        update = {
            "query": grafted.query,
            "evidence": state["evidence"],
            "evidence_score": state["evidence_score"],
            "citations": [asdict(citation) for citation in cited.citations],
        }
        return ExtendedModelResponse(response, Command(update=update))


@dataclass(frozen=True, slots=True)
class _Grafted:
    """A request with evidence in it, and where that comes from."""

    request: ModelRequest[Any]
    query: str
    evidence: Evidence


def _rendered(prompt: RenderedPrompt, request: ModelRequest[Any], answering: Answering) -> list[BaseMessage]:
    if isinstance(request.model, SoftPromptChat):
        return to_messages(prompt)
    return to_text_messages(prompt.fill(TextTwins(answering.template).__getitem__))


def _system(own: SystemMessage | None, rendered: Sequence[BaseMessage]) -> SystemMessage | None:
    """The agent's own system prompt, then the template's: what is the same in every call stands first."""
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


def _unforged(message: AnyMessage) -> AnyMessage:
    """The message without soft slots: those count only where the domain's own template puts them."""
    if isinstance(message.content, str) or not any(map(_is_soft, message.content)):
        return message
    return message.model_copy(update={"content": [block for block in message.content if not _is_soft(block)]})


def _is_soft(block: object) -> bool:
    value = block.get("value") if isinstance(block, dict) else None
    return isinstance(value, dict) and value.get("type") == "soft_prompt"


def _turns(messages: Sequence[AnyMessage]) -> list[Turn]:
    """What was said so far, without calls of tools and what they returned."""
    turns = []
    for message in messages:
        if message.type in ("human", "ai") and (text := plain_text(message).strip()):
            turns.append(Turn("user" if isinstance(message, HumanMessage) else "assistant", text))
    return turns
