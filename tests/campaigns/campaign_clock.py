"""Questions of processes whose clocks differ and jump: every turn is kept, in the order in which it was told."""

from __future__ import annotations

import json
import random
import time
import uuid
from pathlib import Path

from campaign_faults import SEED, Verdict, used_workplace
from campaign_process import in_workplace
from campaign_state import problems_of
from campaign_workplace import copy_of

_QUESTIONS = ("How much does a replacement card cost?", "How long can I dispute a payment?", "When does it open?")
# Seconds by which a clock is wrong: nothing, an hour, a day, thirty years; a step back within a second.
_JUMPS = (0, -0.5, 3600, -3600, 86_400, -86_400, 9e8, -9e8)


def clock_campaign(base: Path, turns: int) -> list[Verdict]:
    """Ask one question after the other, each in a process with another clock, in two conversations by turns."""
    seeded, verdicts = random.Random(SEED), []
    workplace = copy_of(used_workplace(base), base / "clock")
    asked: dict[str, list[str]] = {"left": [], "right": []}
    for number in range(turns):
        thread, question = ("left", "right")[number % 2], seeded.choice(_QUESTIONS)
        off = seeded.choice(_JUMPS)
        verdict = Verdict(f"turn {number} of {thread}, clock {off:+g} s")
        done = in_workplace(
            workplace, ("ask", "house", question, "--thread", thread), lambda _, off=off: _set_clock(off)
        )
        verdict.ended = f"exit code {done.code}"
        verdict.problems += problems_of(done)
        if done.code == 0:
            asked[thread].append(question)
        for name, questions in asked.items():
            if questions:
                verdict.problems += _missing(workplace, name, questions)
        verdicts.append(verdict)
    return verdicts


def _missing(workplace: Path, thread: str, questions: list[str]) -> list[str]:
    shown = in_workplace(workplace, ("threads", "show", "house", thread, "--json"))
    if shown.code != 0:
        return [f"{thread} cannot be shown: {shown.err[-300:]}"]
    found = [turn["question"] for turn in json.loads(shown.out)["turns"]]
    return [] if found == questions else [f"{thread} has {found}, not {questions}"]


def _set_clock(off: float) -> None:
    """Let this process read another time, in seconds, in nanoseconds and in the ids that contain the time."""
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + off
    time.time_ns = lambda: nanoseconds() + int(off * 1e9)
    # The operating system makes these ids, with its own clock.
    uuid._generate_time_safe = None  # type: ignore[attr-defined]
