"""The web application: OpenAI's API, the page, and what applies to all routes."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from fastapi import FastAPI

from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings

_PAGE = "softgraft.server.web.routes"


def make_app(served: ServedDomains, settings: ServerSettings) -> FastAPI:
    """The application for `served`. `settings` has its limits and who may call it."""
    # Its own pages load scripts from elsewhere.
    app = FastAPI(title="Softgraft", docs_url=None, redoc_url=None)
    if find_spec("softgraft.server.web") is not None and find_spec(_PAGE) is not None:
        app.include_router(import_module(_PAGE).page_router(served))
    return app
