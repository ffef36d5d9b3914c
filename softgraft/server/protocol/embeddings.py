"""POST /v1/embeddings: vectors of the domain's encoder."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray

from retrieval import Encoder
from softgraft.server.edge import DOMAIN
from softgraft.server.errors import JsonResponse, RequestError
from softgraft.server.limits import Limits
from softgraft.server.protocol.models import find_domain
from softgraft.server.protocol.requests import EmbeddingsRequest
from softgraft.server.relay import CallerLeftError, Relay, unless_caller_leaves
from softgraft.server.served import ServedDomains


def embeddings_router(served: ServedDomains, limits: Limits) -> APIRouter:
    """The route for embeddings."""
    router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"])

    @router.post("", response_class=JsonResponse)
    async def embeddings(asked: EmbeddingsRequest, request: Request) -> Response:
        """Vectors of length 1, one per text, in their order."""
        name = await find_domain(served, asked.model)
        request.scope[DOMAIN] = name
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if any(not text.strip() for text in texts):
            raise RequestError("An empty text. Expected: texts in words.", param="input")

        async def work() -> AsyncGenerator[tuple[NDArray[np.float32], int]]:
            async with served.aopen(name, load=False) as domain:
                yield await asyncio.to_thread(lambda: _encoded(domain.encoder, texts, asked))

        ticket = limits.admit(stream=False)
        relay = Relay(ticket, work)
        try:
            vectors, tokens = await unless_caller_leaves(request, relay.next())
        except CallerLeftError:
            return Response(status_code=499)
        finally:
            relay.stop()
            ticket.close()
        data = [
            {"object": "embedding", "index": number, "embedding": _written(vector, asked.encoding_format)}
            for number, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JsonResponse({"object": "list", "data": data, "model": asked.model, "usage": usage})

    return router


def _encoded(encoder: Encoder, texts: list[str], asked: EmbeddingsRequest) -> tuple[NDArray[np.float32], int]:
    """Vectors, and the number of tokens of the texts.

    Raises:
        RequestError: if a text is too long, or the vectors have another size than asked for.
    """
    if asked.dimensions not in (None, encoder.dimension):
        raise RequestError(
            f"{asked.dimensions} dimensions. Expected: {encoder.dimension}, those of this encoder, or none.",
            param="dimensions",
        )
    counts = [encoder.count_tokens(text) for text in texts]
    for number, count in enumerate(counts):
        if count > encoder.window:
            raise RequestError(
                f"Text {number} has {count} tokens, and the encoder reads {encoder.window}. Next: split it.",
                param="input",
                code="context_length_exceeded",
            )
    encode = encoder.encode_queries if asked.input_type == "query" else encoder.encode
    return encode(texts), sum(counts)


def _written(vector: NDArray[np.float32], form: str | None) -> Any:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
