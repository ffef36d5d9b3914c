"""The child process that renders foreign chat templates: `python -m soft_prompt.tokens.render_worker BYTES CHARACTERS`.

It reads one request per line of JSON from standard input, the arguments of Transformers' `render_jinja_template`, and
answers each with a line of JSON: `text`, `error`, or `limit`. Its memory is limited to BYTES beyond what its libraries
take, and a text to CHARACTERS. The parent ends it if a template takes too long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

READY = b"ready"


def main() -> None:
    memory_bytes, characters = int(sys.argv[1]), int(sys.argv[2])
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from transformers.utils.chat_template_utils import render_jinja_template

    # Standard output is for replies only.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory(memory_bytes)
    replies.write(READY + b"\n")
    replies.flush()
    while line := sys.stdin.buffer.readline():
        try:
            [text], _ = render_jinja_template(**json.loads(line))
            reply = {"text": text}
            if len(text) > characters:
                reply = {"limit": f"writes {len(text):,} characters, more than {characters:,}"}
        except MemoryError:
            # Too little memory is left for a message or for cleaning up.
            os._exit(1)
        except Exception as error:  # noqa: BLE001 -- a chat template is foreign code and may raise anything
            reply = {"error": str(error)[:2000] or type(error).__name__}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    with suppress(OSError):  # unknown outside Linux
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory_bytes += pages * os.sysconf("SC_PAGE_SIZE")
    # macOS does not support this limit; the time limit remains.
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
