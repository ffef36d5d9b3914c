"""One reply of a model that may call tools, with a domain's evidence and soft prompt: one step of an agent.

The agent's loop is elsewhere, for example with the client of a server. `GraftMiddleware` adds evidence and soft prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain.agents.middleware import ExtendedModelResponse, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, SystemMessage, convert_to_messages
from langgraph.types import Command

from chains.answering.answering import Answering
from chains.chat.chat_model import SoftPromptChat
from chains.integrations.middleware import GraftMiddleware
from chains.speakers.requested import RequestSettings, TokenUsage, local_chat


@dataclass(frozen=True, slots=True)
class ToolReply:
    """A reply: its text, or calls of tools, each with `id`, `name` and `args`.

    Attributes:
        invalid_calls: calls that the model wrote incorrectly, as text.
        state: the middleware's `query`, `evidence`, `evidence_score`, `refused` and `citations`.
    """

    text: str
    calls: list[dict[str, Any]]
    invalid_calls: list[str]
    state: Mapping[str, Any]


async def reply_with_tools(
    answering: Answering,
    chat: Any,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    call: Mapping[str, Any],
    settings: RequestSettings,
    usage: TokenUsage,
) -> ToolReply:
    """One reply to messages in OpenAI's format.

    Args:
        chat: the chat model of the domain.
        tools: declarations in OpenAI's format.
        call: `tool_choice` and `parallel_tool_calls`, as far as they are set.

    Raises:
        InputError: if a tool, the choice or a message is invalid.
    """
    bound_call = dict(call)
    if isinstance(chat, SoftPromptChat):
        chat = local_chat(chat, settings)
    else:
        bound_call |= settings.decoding

    async def reply(request: ModelRequest[Any]) -> ModelResponse[Any]:
        model = request.model.bind_tools([dict(tool) for tool in tools], **bound_call)
        system = [request.system_message] if request.system_message is not None else []
        message = await model.ainvoke([*system, *request.messages])
        usage.add(message)
        return ModelResponse(result=[message])

    request: ModelRequest[Any] = ModelRequest(
        model=chat,
        messages=cast(Any, convert_to_messages([dict(message) for message in messages])),
        system_message=SystemMessage(settings.system) if settings.system else None,
        tools=[dict(tool) for tool in tools],
    )
    response = await GraftMiddleware(answering).awrap_model_call(request, reply)
    state: Mapping[str, Any] = {}
    if isinstance(response, ExtendedModelResponse):
        if isinstance(response.command, Command):
            state = cast(Mapping[str, Any], response.command.update)
        response = response.model_response
    message = cast(AIMessage, response.result[-1])
    return ToolReply(
        text=message.text,
        calls=[dict(one) for one in message.tool_calls],
        invalid_calls=[str(one["args"]) for one in message.invalid_tool_calls],
        state=state,
    )
