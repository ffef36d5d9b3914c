"""Limits of processor time that hold on slow and on busy machines alike."""

from __future__ import annotations

import time
from collections.abc import Callable

STEPS = 300_000


def effort(call: Callable[[], object]) -> float:
    """The processor time of `call`, in millions of steps of a plain Python loop; a step takes 20 to 100 nanoseconds.

    The loop runs before and after the call, on the same processor, so a limit on the effort allows the same work
    everywhere, where a limit on seconds depends on the machine and on what else it does.
    """
    before = _loop()
    start = time.process_time()
    call()
    seconds = time.process_time() - start
    return STEPS / 1e6 * seconds / max(before, _loop())


def _loop() -> float:
    start = time.process_time()
    total = 0
    for number in range(STEPS):
        total += number & 7
    return time.process_time() - start
