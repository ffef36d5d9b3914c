"""Standard input and output of a command: characters that they cannot hold, and outputs that take no more."""

from __future__ import annotations

import io
import os
import sys


def set_up_streams() -> None:
    """Print characters that the output's encoding lacks as escapes, and refuse input that is not in its encoding.

    Names of files may contain bytes that are not UTF-8, and a message about such a file must not fail itself. In JSON
    strings the escapes of such bytes, lone surrogates, are valid JSON.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")


def flush_output() -> OSError | None:
    """Write what is buffered for standard output; the error if it takes no more, after which it takes everything."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes again when it ends, which must not fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return error
    return None
