"""The web application: OpenAI's API, the page, and what applies to all routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from softgraft.server.edge import Edge, Gate
from softgraft.server.errors import add_error_handlers
from softgraft.server.health import Readiness, health_router
from softgraft.server.limits import Limits
from softgraft.server.metrics import Metrics
from softgraft.server.protocol.chat import chat_router
from softgraft.server.protocol.embeddings import embeddings_router
from softgraft.server.protocol.models import models_router
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings
from softgraft.server.web.routes import page_router

# More threads would only compete for the cores.
_MAX_THREADS = 32


def make_app(served: ServedDomains, settings: ServerSettings) -> FastAPI:
    """The application for `served`, which it closes at its end. `settings` has its limits and who may call it.

    `app.state.limits` has the limits, so that whoever runs the application can announce its end.
    """
    metrics = Metrics()
    limits, readiness = Limits(settings, metrics), Readiness()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # For the steps of answers, at most one per answer. The model's stream has a thread of its own.
        threads = ThreadPoolExecutor(min(settings.running + 4, _MAX_THREADS), thread_name_prefix="softgraft")
        asyncio.get_running_loop().set_default_executor(threads)
        loading = asyncio.create_task(_load(served, settings, readiness))
        try:
            yield
        finally:
            limits.draining = True
            loading.cancel()
            served.close()

    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(title="Softgraft", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.limits = limits
    add_error_handlers(app)
    app.include_router(models_router(served))
    app.include_router(chat_router(served, settings, limits, metrics))
    app.include_router(embeddings_router(served, limits))
    app.include_router(health_router(served, limits, metrics, readiness))
    app.include_router(page_router(served, settings, limits, metrics))
    # The last one added is the outermost.
    app.add_middleware(Gate, settings=settings, limits=limits)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            # OpenAI's client for browsers sends some about itself.
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    app.add_middleware(Edge, settings=settings, metrics=metrics)
    return app


async def _load(served: ServedDomains, settings: ServerSettings, readiness: Readiness) -> None:
    if settings.preload:
        await asyncio.to_thread(served.preload)
    readiness.loaded = True
