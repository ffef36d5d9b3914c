"""Work in a forked child process, which may die without affecting the parent."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

Report = Callable[[object], None]


@dataclass
class Fate:
    """The reports of a child, and how it ended: "exited", "raised", "timed out" or the name of a signal."""

    ended: str = ""
    reports: list[object] = field(default_factory=list)
    error: str = ""


@dataclass
class Child:
    """A running forked process."""

    process: int
    reading: int
    began: float

    def wait(self, *, kill_after: float | None = None, limit: float = 60.0) -> Fate:
        """Wait for its end. With `kill_after`, kill it that many seconds after its start."""
        killed, data = False, bytearray()
        end = self.began + (limit if kill_after is None else kill_after)
        while True:
            left = end - time.monotonic()
            if not killed and (left <= 0 or not select.select([self.reading], [], [], left)[0]):
                killed = True
                os.kill(self.process, signal.SIGKILL)
            some = os.read(self.reading, 1 << 16)
            if not some:
                break
            data += some
        os.close(self.reading)
        _, status = os.waitpid(self.process, 0)
        # A killed child may have written half a line.
        lines = [json.loads(line) for line in data.split(b"\n")[:-1]]
        fate = Fate(_ending(status), [line["report"] for line in lines if "report" in line])
        fate.error = next((line["error"] for line in lines if "error" in line), "")
        if killed and kill_after is None:
            fate.ended = "timed out"
        return fate


def start_child(work: Callable[[Report], None]) -> Child:
    """Fork, and run `work` in the child with a function that sends reports to the parent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(work, writing)
    os.close(writing)
    return Child(child, reading, time.monotonic())


def in_child(work: Callable[[Report], None], *, kill_after: float | None = None, limit: float = 60.0) -> Fate:
    """`start_child` and wait."""
    return start_child(work).wait(kill_after=kill_after, limit=limit)


def _run(work: Callable[[Report], None], writing: int) -> None:
    code = 0
    # Garbage collection would copy every memory page that it touches.
    gc.disable()
    try:
        work(lambda report: _send(writing, {"report": report}))
    except BaseException:  # noqa: BLE001 - reported to the parent; the child must not continue as a second parent
        code = 1
        _send(writing, {"error": traceback.format_exc()})
    finally:
        os._exit(code)


def _send(writing: int, message: object) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(writing, data) :]


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "exited" if os.WEXITSTATUS(status) == 0 else "raised"
