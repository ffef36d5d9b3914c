"""The routes of the page: `/`, its static files, and the API under /api/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from softgraft.errors import DomainError
from softgraft.server.limits import Limits
from softgraft.server.metrics import Metrics
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings
from softgraft.server.web.ask import add_ask_route
from softgraft.server.web.documents import add_document_routes
from softgraft.server.web.feedback import add_feedback_route
from softgraft.server.web.quality import add_quality_route
from softgraft.server.web.threads import add_thread_routes

STATIC = Path(__file__).with_name("static")
# Only these types are served, and a browser is told not to guess others.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# A new version of the server brings new files under the same names.
_REVALIDATE = {"Cache-Control": "no-cache"}


def page_router(served: ServedDomains, settings: ServerSettings, limits: Limits, metrics: Metrics) -> APIRouter:
    """The page and its API."""
    router = APIRouter(include_in_schema=False)
    files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in _TYPES}

    @router.api_route("/", methods=["GET", "HEAD"])
    def page() -> Response:
        return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8", headers=_REVALIDATE)

    @router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
    def static_file(path: str) -> Response:
        # Looked up and not opened: no path leads out of the folder.
        file = files.get(path)
        if file is None:
            raise HTTPException(404, "No such file.")
        return FileResponse(file, media_type=_TYPES[file.suffix], headers=_REVALIDATE)

    @router.get("/api/domains")
    def domains() -> dict[str, Any]:
        """The domains that the caller may use, with their titles.

        A domain whose domain.yaml has problems has its name as the title; whoever opens it gets the reason.
        """
        return {"domains": [{"name": name, "title": _title(served, name)} for name in served.names()]}

    add_ask_route(router, served, settings, limits, metrics)
    add_thread_routes(router, served)
    add_document_routes(router, served)
    add_quality_route(router, served)
    add_feedback_route(router, served)
    return router


def _title(served: ServedDomains, name: str) -> str:
    try:
        with served.open(name) as domain:
            return domain.file.title
    except (DomainError, OSError):
        return name
