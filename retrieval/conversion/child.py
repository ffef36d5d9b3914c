"""Conversion in a process of its own, which a file may bring down without harm to the ingest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from retrieval.conversion.convert import convert_here, is_plain
from retrieval.conversion.converted import Converted
from retrieval.conversion.limits import Limits
from retrieval.conversion.worker import OUT_OF_MEMORY, READY, read_frame, write_frame
from retrieval.errors import ConversionError, RetrievalError

_START_SECONDS = 120.0
_GRACE_SECONDS = 2.0
_MIB = 2**20


class Converter:
    """Converts plain text here and every other format in one child process, held to limits of time and memory.

    The child starts with the first file that needs it and serves all that follow; after a file that took too long, too
    much memory or the process itself with it, the next file gets a new one. For one thread. Constructing one does no
    I/O; use it in a `with`, which ends the child.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._process.pid if self._process is not None else None

    def convert(self, data: bytes, suffix: str, name: str) -> Converted:
        """Raises ConversionError for what the format's converter refuses and for a file beyond the limits,
        RetrievalError where no child can be started."""
        if is_plain(suffix):
            return convert_here(data, suffix, name)
        process = self._running()
        reply: bytes | None = None
        with self._ended_after(process, self._limits.seconds) as late:
            reply = _asked(process, json.dumps({"suffix": suffix, "name": name}).encode(), data)
        if reply is None:
            exit_code, last_words = self._buried(_GRACE_SECONDS)
            raise self._error(name, late.is_set(), exit_code, last_words)
        if late.is_set():
            # The reply came in the moment in which time was up.
            self.close()
        answer = json.loads(reply)
        if "error" in answer:
            raise ConversionError(**answer["error"])
        converted = answer["converted"]
        return Converted(converted["text"], converted["title"], tuple(converted["page_starts"]))

    def close(self) -> None:
        """Ends the child, if there is one."""
        self._buried()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._buried()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with its process
        limits = (self._limits.memory_mib * _MIB, self._limits.file_mib * _MIB, self._limits.seconds)
        try:
            self._process = subprocess.Popen(
                # -P: a file of the folder that this runs in must not pass for a module.
                [sys.executable, "-P", "-m", "retrieval.conversion.worker", *map(str, limits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=_environment(),
            )
        except OSError as error:
            raise _not_started(error.strerror or str(error)) from error
        assert self._process.stdout is not None
        with self._ended_after(self._process, _START_SECONDS):
            ready = read_frame(self._process.stdout)
        if ready != READY:
            exit_code, last_words = self._buried(_GRACE_SECONDS)
            raise _not_started(last_words or f"exit code {exit_code}")
        return self._process

    @contextmanager
    def _ended_after(self, process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
        """Kills the process if the block takes longer, which ends the block too: its pipes close. The event tells."""
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
            timer.join()

    def _buried(self, grace: float = 0.0) -> tuple[int, str]:
        """Ends the process for good: its exit code, and the last line it wrote to standard error.

        One that is on its way out has `grace` seconds to get there, with an exit code that tells why.
        """
        process, self._process = self._process, None
        said, self._said = self._said, None
        exit_code, last_line = 0, ""
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
            process.kill()
            exit_code = process.wait()
            process.stdout.close()
            # What is still in the buffer cannot be sent any more.
            with suppress(OSError):
                process.stdin.close()
        if said is not None:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            last_line = lines[-1] if lines else ""
            said.close()
        return exit_code, last_line

    def _error(self, name: str, late: bool, exit_code: int, last_words: str) -> ConversionError:
        if late:
            return ConversionError(
                found=f"{name} took longer than {self._limits.seconds:g} s to convert",
                expected="a file that converts within that time",
                next_step=f"split {name}, or raise `seconds` under `ingest:` in domain.yaml",
            )
        if exit_code == OUT_OF_MEMORY:
            return ConversionError(
                found=f"{name} took more than {self._limits.memory_mib} MiB of memory to convert",
                expected="a file that converts within that",
                next_step=f"split {name}, or raise `memory_mib` under `ingest:` in domain.yaml",
            )
        how = _signal_name(-exit_code) if exit_code < 0 else last_words or f"exit code {exit_code}"
        return ConversionError(
            found=f"{name} brought the converter down ({how})",
            expected="a file that its format's reader can take",
            next_step=f"open {name} in the program it comes from and save it again, or in another format",
        )


def _asked(process: subprocess.Popen[bytes], header: bytes, data: bytes) -> bytes | None:
    """The reply; None where the process ended before it gave one."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        write_frame(process.stdin, header)
        write_frame(process.stdin, data)
    except OSError:
        return None
    return read_frame(process.stdout)


def _environment() -> dict[str, str]:
    """This process's, with this package to be found and without threads that only cost memory."""
    place = str(Path(__file__).parents[2])
    paths = [place, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_started(why: str) -> RetrievalError:
    return RetrievalError(
        found=f"the process that converts files does not start ({why})",
        expected=f"that {sys.executable or 'Python'} can run `-m retrieval.conversion.worker`",
        next_step="free some memory, and check the installation: pip install --force-reinstall --no-deps softgraft",
    )
