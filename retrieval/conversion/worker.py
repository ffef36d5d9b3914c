"""The child process that converts files.

    python -m retrieval.conversion.worker MEMORY_BYTES TEXT_BYTES SECONDS OCR_PAGES

It reads files from standard input, each as a line of JSON with `suffix`, `name` and `size` and then the bytes, and
answers each with a line of JSON on standard output: the converted text, or the parts of a ConversionError. Before each
page that it recognises, of OCR_PAGES at most, it writes a line that says so, and its time begins again. It ends at the
end of input, when a file exceeds a limit, and on any unexpected error, so that one file cannot affect the next.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from retrieval.conversion.convert import convert_here
from retrieval.conversion.ocr.recognition import Recognition
from retrieval.errors import ConversionError

# The parent kills a child that takes too long. If the parent is gone, the alarm does, a little later.
_ALARM_GRACE_SECONDS = 5
# The first line of the child, and its exit code when it runs out of memory.
READY = b"ready"
# The line before a page is recognised.
PAGE = b"page\n"
OUT_OF_MEMORY = 77


def main() -> None:
    memory_bytes, text_bytes, seconds, pages = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is for replies only: output of libraries goes to standard error.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory(memory_bytes)
    alarm_seconds = math.ceil(seconds) + _ALARM_GRACE_SECONDS

    def on_page() -> None:
        _set_alarm(alarm_seconds)
        send(replies, PAGE.rstrip())

    recognition = Recognition(pages, on_page=on_page) if pages else None
    send(replies, READY)
    while header := sys.stdin.buffer.readline():
        request = json.loads(header)
        data = sys.stdin.buffer.read(request["size"])
        _set_alarm(alarm_seconds)
        try:
            reply = _converted(data, text_bytes, request["suffix"], request["name"], recognition)
        except MemoryError:
            # Too little memory is left for a message or for cleaning up.
            os._exit(OUT_OF_MEMORY)
        _set_alarm(0)
        send(replies, reply)


def _converted(data: bytes, text_bytes: int, suffix: str, name: str, recognition: Recognition | None) -> bytes:
    try:
        converted = convert_here(data, suffix, name, recognition)
        # A small file may contain a lot of text.
        size = len(converted.text.encode("utf-8", "surrogatepass"))
        if size > text_bytes:
            raise ConversionError(
                found=f"{name} contains {size / 2**20:,.1f} MiB of text",
                expected=f"at most {text_bytes // 2**20} MiB",
                next_step=f"split {name}, or raise `file_mib` under `ingest:` in domain.yaml",
            )
    except ConversionError as error:
        return json.dumps({"error": vars(error)}).encode()
    return json.dumps({"converted": asdict(converted)}).encode()


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    with suppress(OSError):  # unknown outside Linux
        # What this process has mapped before any file, for its libraries.
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory_bytes += pages * os.sysconf("SC_PAGE_SIZE")
    # macOS does not support this limit; the time limit remains.
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _set_alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):  # not on Windows
        signal.alarm(seconds)


def send(pipe: IO[bytes], line: bytes, data: bytes = b"") -> None:
    """Write a line and the bytes after it. Raises OSError if the other side has closed the pipe."""
    pipe.writelines((line, b"\n", data))
    pipe.flush()


if __name__ == "__main__":
    main()
