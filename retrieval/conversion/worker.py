"""The child process that converts files: `python -m retrieval.conversion.worker MEMORY_BYTES TEXT_BYTES SECONDS`.

It reads pairs of frames from standard input (a JSON object with `suffix` and `name`, then the file's bytes) and answers
each with one JSON frame on standard output: the converted text, or the parts of a ConversionError. It ends at the end
of input, when a file exceeds a limit, and on any unexpected error, so that one file cannot affect the next.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from retrieval.conversion.convert import convert_here
from retrieval.errors import ConversionError

# The parent kills a child that takes too long. If the parent is gone, the alarm does, a little later.
_ALARM_GRACE_SECONDS = 5


def main() -> None:
    memory_bytes, text_bytes, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = sys.stdin.buffer, _replies()
    _limit_memory(memory_bytes)
    write_frame(replies, READY)
    while (header := read_frame(requests)) is not None and (data := read_frame(requests)) is not None:
        _set_alarm(math.ceil(seconds) + _ALARM_GRACE_SECONDS)
        try:
            reply = _converted(data, text_bytes, **json.loads(header))
        except MemoryError:
            # Too little memory is left for a message or for cleaning up.
            os._exit(OUT_OF_MEMORY)
        _set_alarm(0)
        write_frame(replies, reply)


def _converted(data: bytes, text_bytes: int, suffix: str, name: str) -> bytes:
    answer: dict[str, dict[str, Any]]
    try:
        converted = convert_here(data, suffix, name)
        _check_size(converted.text, text_bytes, name)
    except ConversionError as error:
        answer = {"error": {"found": error.found, "expected": error.expected, "next_step": error.next_step}}
    else:
        answer = {"converted": {"text": converted.text, "title": converted.title, "page_starts": converted.page_starts}}
    return json.dumps(answer).encode()


def _check_size(text: str, limit: int, name: str) -> None:
    """A small file may contain a lot of text. Raises ConversionError."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise ConversionError(
            found=f"{name} contains {size / 2**20:,.1f} MiB of text",
            expected=f"at most {limit // 2**20} MiB",
            next_step=f"split {name}, or raise `file_mib` under `ingest:` in domain.yaml",
        )


def _replies() -> IO[bytes]:
    """Standard output, for replies only: output of libraries is redirected to standard error."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(replies, "wb")


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    # macOS does not support this limit; the time limit remains.
    with suppress(ValueError, OSError):
        limit = _address_space() + memory_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _address_space() -> int:
    """Bytes that this process has mapped before any file, for its libraries; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _set_alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):  # not on Windows
        signal.alarm(seconds)


_LENGTH_BYTES = 8

# The first frame of the child, and its exit code when it runs out of memory.
READY = b"ready"
OUT_OF_MEMORY = 77


def write_frame(pipe: IO[bytes], payload: bytes) -> None:
    """Raises OSError if the other side has closed the pipe."""
    pipe.write(len(payload).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(payload)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """The next frame; None if the other side ended, even within a frame."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "big")
    payload = pipe.read(size)
    return payload if len(payload) == size else None


if __name__ == "__main__":
    main()
