"""The first node of the graph: select the history that the model reads, and summarise older turns if needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from langgraph.config import get_stream_writer

from chains.answering.answering import Answering
from chains.answering.history import HistoryWindow, Summary, history_window, messages_to_summarise, without_oldest_turn
from chains.answering.speaker import PreparedPrompt
from prompts import TemplateFile, Turn, find_template


class HistoryNode:
    """Selects the history of a state: `run`, or `arun` on the event loop.

    A history that the caller passes with a question is never summarised, since the summary could not be stored.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._template = answering.summary_template or TemplateFile(find_template("summarise-history"))

    def run(self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        prompt, messages = self._summary_request(state)
        reply = "".join(self._answering.speaker.stream(prompt, config)) if prompt is not None else ""
        return self._update(state, prompt, messages, reply)

    async def arun(self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        prompt, messages = self._summary_request(state)
        reply = ""
        if prompt is not None:
            async with aclosing(self._answering.speaker.astream(prompt, config)) as pieces:
                reply = "".join([piece async for piece in pieces])
        return self._update(state, prompt, messages, reply)

    def _summary_request(self, state: Mapping[str, Any]) -> tuple[PreparedPrompt | None, list[Turn]]:
        """The prompt for a summary, and the messages that it adds; None if nothing has to be summarised."""
        settings = self._answering.settings
        if settings.history_overflow != "summarise" or state.get("history") is not None or not settings.history_turns:
            return None, []
        summary = _stored_summary(state)
        messages = messages_to_summarise(
            stored_messages(state), summary, settings.history, self._answering.count_tokens
        )
        if not messages:
            return None, []
        included = [*(summary.messages if summary else []), *messages]
        prompt = self._summary_prompt(included)
        while not prompt.fits and len(included) > 2:
            included = without_oldest_turn(included)
            prompt = self._summary_prompt(included)
        return prompt, messages

    def _summary_prompt(self, messages: Sequence[Turn]) -> PreparedPrompt:
        return self._answering.speaker.prepare(self._template.current().render({"history": list(messages)}))

    def _update(
        self, state: Mapping[str, Any], prompt: PreparedPrompt | None, messages: list[Turn], reply: str
    ) -> dict[str, Any]:
        settings = self._answering.settings
        summarises = state.get("history") is None and settings.history_overflow == "summarise"
        summary = _stored_summary(state) if summarises else None
        notices = []
        if prompt is not None:
            if text := reply.strip():
                added = sum(message.role == "user" for message in messages)
                summary = Summary(prompt.prompt.messages[-1].text, text, (summary.turns if summary else 0) + added)
                notices.append(f"{_earlier_turns(added)} summarised: the history is longer than the model reads")
            else:
                notices.append("the model wrote an empty summary of the earlier turns, so they are left out")
        window = history_window(conversation(state), summary, settings.history, self._answering.count_tokens)
        if summary is not None and not window.summarised:
            notices.append(
                "the summary of the earlier turns was left out: "
                f"it does not fit `history_tokens: {settings.history_tokens}`"
            )
        if window.dropped:
            notices.append(
                f"{_earlier_turns(window.dropped)} left out, the oldest first: "
                f"they exceed `history_tokens: {settings.history_tokens}`"
            )
        emit_notices(notices)
        update = {"history_window": asdict(window), "notices": notices}
        return update if summary is None else {**update, "summary": summary.to_state()}


def emit_notices(notices: list[str]) -> None:
    if notices:
        get_stream_writer()({"notices": notices})


def window_from_state(state: Mapping[str, Any]) -> HistoryWindow:
    window = state["history_window"]
    return HistoryWindow(**{**window, "messages": [Turn(**message) for message in window["messages"]]})


def conversation(state: Mapping[str, Any]) -> list[Turn]:
    """The messages before the question: the caller's history or, without one, the stored conversation."""
    history = state.get("history")
    return stored_messages(state) if history is None else [Turn(**message) for message in history]


def stored_messages(state: Mapping[str, Any]) -> list[Turn]:
    messages: list[Turn] = []
    for turn in state.get("turns", []):
        messages += [Turn("user", turn["question"]), Turn("assistant", turn["answer"])]
    return messages


def _stored_summary(state: Mapping[str, Any]) -> Summary | None:
    summary = state.get("summary")
    return Summary.from_state(summary) if summary else None


def _earlier_turns(number: int) -> str:
    return "1 earlier turn was" if number == 1 else f"{number} earlier turns were"
