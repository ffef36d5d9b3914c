"""Generate a reply as a stream of text, tool calls and its end, and convert them to LangChain messages."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from chains.chat.tool_calls import ParsedCall, ToolCallParser
from soft_prompt import Decoding, PrefixStore, Reply, Row, stream


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One call of the chat model: its encoded prompt and constraint, and the names of the tools that it may call.

    `graft` is reported with the reply; `single_call` allows at most one tool call.
    """

    row: Row
    decoding: Decoding
    graft: str
    tools: tuple[str, ...] = ()
    single_call: bool = False


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    reply: Reply
    model: str
    graft: str


ReplyPiece = str | ParsedCall | ReplyEnd


def stream_reply(
    store: PrefixStore, request: GenerationRequest, cancelled: Callable[[], bool] | None = None
) -> Generator[ReplyPiece]:
    """Stream a reply; the last piece is its end. Closing the generator stops decoding."""
    parser = ToolCallParser(request.tools) if request.tools else None
    called = False
    for delta in stream(store, request.row, request.decoding, cancelled=cancelled):
        pieces: list[str | ParsedCall] = [delta.text] if delta.text else []
        if parser is not None:
            pieces = list(parser.feed(delta.text))
            if delta.reply is not None:
                pieces += parser.finish(cut=delta.reply.finish == "length")
        for piece in pieces:
            if not (called and request.single_call and isinstance(piece, ParsedCall)):
                yield piece
            called = called or isinstance(piece, ParsedCall)
        if delta.reply is not None:
            yield ReplyEnd(delta.reply, store.backbone.id, request.graft)


def to_chunk(piece: ReplyPiece, calls: int) -> ChatGenerationChunk:
    """A piece as a LangChain chunk; `calls` is the number of tool calls before it."""
    if isinstance(piece, str):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece))
    if isinstance(piece, ParsedCall):
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece.to_chunk(calls)]))
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=_usage(piece.reply),
            response_metadata=_metadata(piece),
            chunk_position="last",
        )
    )


def to_result(pieces: Sequence[ReplyPiece]) -> ChatResult:
    """All pieces of a reply as one LangChain message."""
    calls = [piece for piece in pieces if isinstance(piece, ParsedCall)]
    [end] = [piece for piece in pieces if isinstance(piece, ReplyEnd)]
    message = AIMessage(
        content="".join(piece for piece in pieces if isinstance(piece, str)),
        tool_calls=[call.to_tool_call() for call in calls if not call.problem],
        invalid_tool_calls=[call.to_invalid_tool_call() for call in calls if call.problem],
        usage_metadata=_usage(end.reply),
        response_metadata=_metadata(end),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _metadata(end: ReplyEnd) -> dict[str, str]:
    names = {"model_name": end.model, "model_provider": "softgraft", "graft": end.graft}
    return {**names, "finish_reason": end.reply.finish}


def _usage(reply: Reply) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=reply.prompt_tokens,
        output_tokens=reply.tokens,
        total_tokens=reply.prompt_tokens + reply.tokens,
        input_token_details=InputTokenDetails(cache_read=reply.cached_tokens),
    )
