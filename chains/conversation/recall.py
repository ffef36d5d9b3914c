"""The graph's first step: what the model reads of the conversation in this turn.

Where the history has outgrown its budget and is to be summed up, the speaker is asked for a summary before it answers;
the summary then stays in the conversation's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from langgraph.config import get_stream_writer

from chains.answering.answering import Answering
from chains.answering.history import Recalled, Summary, recalled, to_sum_up, without_oldest
from chains.answering.speaker import PreparedPrompt
from prompts import TemplateFile, Turn, find_template


class Recall:
    """Recalls the conversation of a state: `recall`, or `arecall` off the event loop.

    A history that the caller gives for one call is never summed up, since there is nowhere to keep the summary.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._template = answering.summary_template or TemplateFile(find_template("summarise-history"))

    def recall(self, state: dict[str, Any]) -> dict[str, Any]:
        """The node of the graph."""
        prompt, sum_up = self._request(state)
        said = self._answering.speaker.reply_many([prompt])[0] if prompt is not None else None
        return self._result(state, prompt, sum_up, said)

    async def arecall(self, state: dict[str, Any]) -> dict[str, Any]:
        """As `recall`."""
        prompt, sum_up = self._request(state)
        if prompt is None:
            return self._result(state, prompt, sum_up, None)
        async with aclosing(self._answering.speaker.astream(prompt)) as pieces:
            said = "".join([piece async for piece in pieces])
        return self._result(state, prompt, sum_up, said)

    def _request(self, state: dict[str, Any]) -> tuple[PreparedPrompt | None, list[Turn]]:
        """What the speaker is asked for where something is to be summed up, and the turns that go into the summary."""
        settings, count = self._answering.settings, self._answering.count_tokens
        if settings.history_overflow != "summarise" or given(state) is not None or not settings.history_turns:
            return None, []
        earlier = kept_summary(state)
        sum_up = to_sum_up(remembered(state), earlier, settings.history, count)
        if not sum_up:
            return None, []
        turns = [*(earlier.turns if earlier else []), *sum_up]
        prompt = self._summary_prompt(turns)
        while not prompt.fits and len(turns) > 2:
            turns = without_oldest(turns)
            prompt = self._summary_prompt(turns)
        return prompt, sum_up

    def _summary_prompt(self, turns: Sequence[Turn]) -> PreparedPrompt:
        return self._answering.speaker.prepare(self._template.current().render({"history": list(turns)}))

    def _result(
        self, state: dict[str, Any], prompt: PreparedPrompt | None, sum_up: list[Turn], said: str | None
    ) -> dict[str, Any]:
        settings = self._answering.settings
        turns = given(state)
        summary = kept_summary(state) if turns is None and settings.history_overflow == "summarise" else None
        notices = []
        if prompt is not None and said is not None:
            if text := said.strip():
                done = (summary.exchanges if summary else 0) + _users(sum_up)
                summary = Summary(prompt.prompt.messages[-1].text, text, done)
                notices.append(f"{_exchanges(_users(sum_up))} summed up: the history is longer than the model reads")
            else:
                notices.append("the model summed up the earlier exchanges in no words, so they are left out")
        found = recalled(
            remembered(state) if turns is None else turns, summary, settings.history, self._answering.count_tokens
        )
        if found.over:
            notices.append(
                f"{_exchanges(found.over)} left out, the oldest first: `history_tokens: {settings.history_tokens}` "
                "has no room"
            )
        say(notices)
        update = {"recalled": plain(found), "notices": notices}
        return update if summary is None or turns is not None else {**update, "summary": asdict(summary)}


def say(notices: list[str]) -> None:
    """Show notices to the caller as they come up."""
    if notices:
        get_stream_writer()({"notices": notices})


def plain(found: Recalled) -> dict[str, Any]:
    """What was recalled as plain data."""
    return {**asdict(found), "turns": [{"role": turn.role, "text": turn.text} for turn in found.turns]}


def recalled_in(state: dict[str, Any]) -> Recalled:
    """What was recalled in a state."""
    kept = state["recalled"]
    return Recalled(**{**kept, "turns": _turns(kept["turns"])})


def given(state: dict[str, Any]) -> list[Turn] | None:
    """The history that the caller gave for this call alone, if any."""
    found = state.get("history")
    return None if found is None else _turns(found)


def remembered(state: dict[str, Any]) -> list[Turn]:
    """The conversation as memory keeps it."""
    turns: list[Turn] = []
    for record in state.get("turns", []):
        turns += [Turn("user", record["question"]), Turn("assistant", record["answer"])]
    return turns


def kept_summary(state: dict[str, Any]) -> Summary | None:
    """The summary that the conversation keeps."""
    found = state.get("summary")
    return Summary(**found) if found else None


def _turns(records: Sequence[dict[str, str]]) -> list[Turn]:
    return [Turn("user" if entry["role"] == "user" else "assistant", entry["text"]) for entry in records]


def _users(turns: Sequence[Turn]) -> int:
    return sum(turn.role == "user" for turn in turns)


def _exchanges(number: int) -> str:
    return "1 earlier exchange was" if number == 1 else f"{number} earlier exchanges were"
