"""GET /v1/models: each domain, also as `backbone:domain`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from softgraft.domain import Domain
from softgraft.errors import DomainError
from softgraft.server.errors import JsonResponse, RequestError
from softgraft.server.served import ServedDomains
from softgraft.settings.domain_file import FILE


def models_router(served: ServedDomains) -> APIRouter:
    """The routes for the list of models."""
    router = APIRouter(prefix="/v1/models", tags=["models"], default_response_class=JsonResponse)

    @router.get("")
    def models() -> dict[str, Any]:
        """The domains that the caller may use."""
        return {"object": "list", "data": [model for name in served.names() for model in _models(served, name)]}

    @router.get("/{model:path}")
    def model(model: str) -> dict[str, Any]:
        """One of them."""
        name = domain_of(served, model)
        return next(one for one in _models(served, name) if one["id"] == model)

    return router


async def find_domain(served: ServedDomains, model: str) -> str:
    """As `domain_of`, without blocking the event loop. A plain name takes no thread, which may be busy."""
    return model if model in served.names() else await asyncio.to_thread(domain_of, served, model)


def domain_of(served: ServedDomains, model: str) -> str:
    """The name of the domain that `model` stands for: a domain, or `backbone:domain`.

    Raises:
        RequestError: if there is none.
    """
    names = served.names()
    if model in names:
        return model
    name = model.rpartition(":")[2]
    if name in names and any(one["id"] == model for one in _models(served, name)):
        return name
    raise RequestError(
        f"The model {model!r} does not exist. Expected: one of {', '.join(names) or 'no models for this key'}. "
        "Next: list them with GET /v1/models.",
        status=404,
        param="model",
        code="model_not_found",
    )


def backbone_name(domain: Domain) -> str:
    """The backbone as callers see it: of a local folder, its name."""
    backbone = domain.file.backbone
    return Path(backbone).name if Path(backbone).is_absolute() else backbone


def _models(served: ServedDomains, name: str) -> list[dict[str, Any]]:
    """Its models; none if domain.yaml has problems, which a request to it names."""
    try:
        with served.open(name) as domain:
            made = int((domain.folder / FILE).stat().st_mtime)
            ids = (name, f"{backbone_name(domain)}:{name}")
    except (DomainError, OSError):
        return []
    return [{"id": one, "object": "model", "created": made, "owned_by": "softgraft"} for one in ids]
