"""GET /healthz, /readyz and /metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from softgraft.server.errors import JsonResponse
from softgraft.server.limits import Limits
from softgraft.server.metrics import Metrics
from softgraft.server.served import ServedDomains


class Readiness:
    """Whether the server has loaded its domains."""

    loaded = False


def health_router(served: ServedDomains, limits: Limits, metrics: Metrics, readiness: Readiness) -> APIRouter:
    """The routes for whoever operates the server."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_class=JsonResponse)
    async def healthz() -> Response:
        """The process answers."""
        return JsonResponse({"status": "ok"})

    @router.get("/readyz", response_class=JsonResponse)
    async def readyz() -> Response:
        """The server takes questions: its domains are loaded, at least one without a problem, and it is not stopping.

        Only callers with a key may know the names of the domains, so the response has their number alone.
        """
        if limits.draining:
            status = "stopping"
        elif not readiness.loaded:
            status = "loading"
        else:
            status = "ready" if served.usable else "failed"
        body = {"status": status, "domains": served.count, "problems": len(served.problems())}
        return JsonResponse(body, status_code=200 if status == "ready" else 503)

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters in Prometheus' format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
