"""Rendering of chat templates, in a child process with limits on time, memory and length if they might need them.

Jinja's sandbox keeps a template from files and from Python, but not from endless loops, nor from a text that fills the
memory. A running template cannot be stopped from within its own process.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from soft_prompt.tokens.plain_chat_template import is_plain
from soft_prompt.tokens.render_worker import READY

SECONDS = 5.0
# Chat templates render in well under a millisecond.
MEMORY_BYTES = 512 * 2**20
CHARACTERS = 2**22
_START_SECONDS = 120.0


class RenderError(Exception):
    """A template raised an error."""


class RenderLimitError(RenderError):
    """A template exceeded a limit, or the child did not start."""


class LimitedRenderer:
    """Renders chat templates in one child process, which starts with the first request. Thread-safe.

    A process that was forked starts a child of its own. The constructor does no I/O.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., LimitedRenderer] | None = None
        self._owner = 0

    def render(self, template: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
        """The text of a conversation; `settings` are the other arguments of Transformers' `render_jinja_template`.

        Raises:
            RenderError: if the template raises an error.
            RenderLimitError: if it exceeds a limit, or if the child does not start.
        """
        request = {"conversations": [messages], "chat_template": template, **settings}
        line = json.dumps(request, default=str).encode() + b"\n"
        with self._lock:
            process = self._started()
            reply = _exchange(process, line, self._seconds)
            if not reply.endswith(b"\n"):
                self._stop()
                raise RenderLimitError(
                    f"takes more than {self._seconds:g} s, or more than {MEMORY_BYTES // 2**20} MiB of memory"
                )
        answer: dict[str, str] = json.loads(reply)
        if "error" in answer:
            raise RenderError(answer["error"])
        if "limit" in answer:
            raise RenderLimitError(answer["limit"])
        return answer["text"]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            # A child of the process that this one was forked from.
            self._process = None
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        command = [sys.executable, "-P", "-m", "soft_prompt.tokens.render_worker", str(MEMORY_BYTES), str(CHARACTERS)]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
            )
        except OSError as error:
            raise RenderLimitError(f"needs a process that does not start ({error.strerror or error})") from error
        self._process, self._owner = process, os.getpid()
        # A parent that is killed leaves no child behind either: it ends at the end of its input.
        self._finalizer = weakref.finalize(self, _end, process, os.getpid())
        if _exchange(process, b"", _START_SECONDS).strip() != READY:
            self._stop()
            raise RenderLimitError("needs a process that does not start")
        return process

    def _stop(self) -> None:
        self._process, finalizer = None, self._finalizer
        if finalizer is not None:
            # Ends the child, and forgets it.
            finalizer()


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes:
    """Send a request and read the line of its reply, which is incomplete if the child ended or took too long."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.flush()
        if hasattr(select, "poll"):
            return _read_line(process.stdout.fileno(), seconds)
        # On Windows. A thread for each request takes as long as rendering does.
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            return process.stdout.readline()
        finally:
            timer.cancel()
    except OSError:
        return b""


def _read_line(descriptor: int, seconds: float) -> bytes:
    deadline, line, poll = time.monotonic() + seconds, bytearray(), select.poll()
    poll.register(descriptor, select.POLLIN)
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            break
        part = os.read(descriptor, 2**16)
        if not part:
            break
        line += part
    return bytes(line)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill a child; in a process that was forked since, nothing."""
    if owner != os.getpid():
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()


def render_chat(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] = (), **variables: Any
) -> str:
    """The text of `tokenizer.apply_chat_template` with the generation prompt.

    A template that cannot run for long is rendered in this process, any other one in the child.

    Raises:
        RenderError: as `LimitedRenderer.render`.
    """
    template = tokenizer.get_chat_template(tools=list(tools) or None)
    if _is_plain(template):
        settings = {"tokenize": False, "add_generation_prompt": True, **variables}
        text: str = tokenizer.apply_chat_template(messages, tools=list(tools) or None, **settings)
        return text
    settings = {"tools": list(tools) or None, "add_generation_prompt": True, **tokenizer.special_tokens_map}
    return _renderer.render(template, messages, settings | variables)


_renderer = LimitedRenderer()
_is_plain = lru_cache(maxsize=64)(is_plain)


def _environment() -> dict[str, str]:
    """This process's environment, with this package importable and without extra threads, which need memory."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
