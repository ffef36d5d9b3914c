"""Messages over a pipe: eight bytes of length, then so many bytes."""

from __future__ import annotations

from typing import IO

_LENGTH_BYTES = 8

# What the child that converts files says first, and the exit code with which it says that memory ran out.
READY = b"ready"
OUT_OF_MEMORY = 77


def write_frame(pipe: IO[bytes], payload: bytes) -> None:
    """Raises OSError where nobody reads any more."""
    pipe.write(len(payload).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(payload)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the other side ended, in the middle of a message too."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "big")
    payload = pipe.read(size)
    return payload if len(payload) == size else None
