"""Conversations: list, read, rename, export and delete them. A caller sees only its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from softgraft.feedback import read_feedback
from softgraft.jobs.transcript import as_markdown
from softgraft.server.callers import shown_thread
from softgraft.server.served import ServedDomains
from softgraft.server.web.turns import own_thread, shown_turn
from softgraft.terminal import json_text, visible

_Id = Annotated[str, Query(min_length=1, max_length=400)]


class TitleBody(BaseModel):
    """The body of PATCH /api/thread; an empty title takes the title away."""

    model_config = ConfigDict(extra="forbid")

    title: str


def add_thread_routes(router: APIRouter, served: ServedDomains) -> None:
    """Add the routes. An id is a query parameter, since it may contain any character."""

    @router.get("/api/threads")
    def threads(domain: str) -> dict[str, Any]:
        with served.open(domain) as opened:
            listed = [(shown_thread(one.thread), one) for one in opened.conversations.threads()]
        return {
            "threads": [
                {
                    "id": name,
                    "title": one.title,
                    "first": one.first,
                    "turns": one.turns,
                    "updated": one.updated,
                    "damaged": one.damaged,
                }
                for name, one in listed
                if name is not None
            ]
        }

    @router.get("/api/thread")
    def thread(domain: str, id: _Id) -> dict[str, Any]:
        with served.open(domain) as opened, own_thread(id) as stored:
            transcript = opened.conversations.transcript(stored)
            rated = {entry.turn: entry for entry in read_feedback(opened).entries if entry.thread == stored}
        return {
            **{name: transcript[name] for name in ("title", "updated", "summary", "damaged")},
            "id": id,
            "turns": [shown_turn(domain, turn, rated.get(turn["number"])) for turn in transcript["turns"]],
        }

    @router.patch("/api/thread")
    def rename(domain: str, id: _Id, body: TitleBody) -> dict[str, Any]:
        with served.open(domain) as opened, own_thread(id) as stored:
            return {"id": id, "title": opened.conversations.rename(stored, body.title)}

    @router.delete("/api/thread")
    def delete(domain: str, id: _Id) -> dict[str, Any]:
        with served.open(domain) as opened, own_thread(id) as stored:
            opened.conversations.delete(stored)
        return {"deleted": id}

    @router.get("/api/thread/export")
    def export(domain: str, id: _Id, format: Literal["markdown", "json"] = "markdown") -> Response:
        with served.open(domain) as opened, own_thread(id) as stored:
            transcript = {**opened.conversations.transcript(stored), "thread": id}
            title = opened.file.title
        if format == "json":
            return _file(json_text(transcript) + "\n", "application/json", f"{id}.json")
        return _file(visible(as_markdown(transcript, title)), "text/markdown; charset=utf-8", f"{id}.md")


def _file(text: str, media_type: str, name: str) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(text.encode(), media_type=media_type, headers={"Content-Disposition": disposition})
