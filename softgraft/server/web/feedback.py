"""POST /api/feedback: rate an answer, correct it, or take the rating back."""

from __future__ import annotations

from typing import Any, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from softgraft.feedback import record, withdraw
from softgraft.server.served import ServedDomains
from softgraft.server.web.turns import own_thread


class FeedbackBody(BaseModel):
    """A rating of one turn; `rating` None takes it back. `correction` is what the answer should have been."""

    model_config = ConfigDict(extra="forbid")

    domain: str
    thread: str = Field(min_length=1, max_length=400)
    turn: int = Field(ge=1)
    rating: Literal["up", "down"] | None
    correction: str | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.rating is None and self.correction is not None:
            raise ValueError("a correction without a rating; expected `down` or `up` beside it")
        return self


def add_feedback_route(router: APIRouter, served: ServedDomains) -> None:
    @router.post("/api/feedback")
    def feedback(body: FeedbackBody) -> dict[str, Any]:
        correction = (body.correction or "").strip() or None
        with served.open(body.domain) as domain, own_thread(body.thread) as thread:
            if body.rating is None:
                withdraw(domain, thread, body.turn)
                return {"feedback": None}
            entry = record(domain, thread, body.turn, body.rating, correction)
        return {"feedback": {"rating": entry.rating, "correction": entry.correction}}
