"""Conversion in a child process, so that a bad file cannot harm the ingest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from retrieval.conversion.convert import convert_here, is_plain
from retrieval.conversion.converted import Converted, decode_utf8
from retrieval.conversion.limits import Limits
from retrieval.conversion.ocr.recognition import Recognition
from retrieval.conversion.worker import OUT_OF_MEMORY, PAGE, READY, send
from retrieval.documents import Mark
from retrieval.errors import ConversionError, RetrievalError

_START_SECONDS = 120.0
_EXIT_SECONDS = 2.0
_MIB = 2**20


class Converter:
    """Converts plain text in this process, and other formats in a child process with time and memory limits.

    Pages that are pictures are read with `recognition`; the time limit holds for each of them, and for all the rest.
    The child starts with the first file that needs it. After a crash or a limit, the next file gets a new child. Use
    it in one thread and in a `with` statement, which ends the child. The constructor does no I/O.
    """

    def __init__(self, limits: Limits, recognition: Recognition | None = None) -> None:
        self._limits = limits
        self._pages = 0 if recognition is None else recognition.pages
        self.process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def convert(self, data: bytes, suffix: str, name: str) -> Converted:
        """Raises ConversionError if the file cannot be converted, RetrievalError if the child does not start."""
        if is_plain(suffix):
            # Before it is parsed.
            self._limits.check_text(decode_utf8(data, name), name)
            return convert_here(data, suffix, name)
        process = self._start()
        header = {"suffix": suffix, "name": name, "size": len(data)}
        with Deadline(process, self._limits.seconds) as deadline:
            reply = _request(process, header, data, deadline.restart)
        if not reply.endswith(b"\n"):
            exit_code, last_line = self._stop(_EXIT_SECONDS)
            raise self._error(name, deadline.has_passed, exit_code, last_line)
        if deadline.has_passed:
            # The reply arrived just before the process was killed.
            self._stop()
        answer = json.loads(reply)
        if "error" in answer:
            raise ConversionError(**answer["error"])
        found: dict[str, Any] = answer["converted"]
        marks = tuple(Mark(*mark) for mark in found["marks"])
        tuples = {name: tuple(found[name]) for name in ("page_starts", "notes", "unread", "recognised")}
        return Converted(**{**found, **tuples, "marks": marks})

    def _start(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        self._stop()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by _stop
        limits = (self._limits.memory_mib * _MIB, self._limits.file_mib * _MIB, self._limits.seconds, self._pages)
        try:
            self.process = subprocess.Popen(
                # -P: do not import modules from the current folder.
                [sys.executable, "-P", "-m", "retrieval.conversion.worker", *map(str, limits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(),
            )
        except OSError as error:
            raise _start_error(error.strerror or str(error)) from error
        assert self.process.stdout is not None
        with Deadline(self.process, _START_SECONDS):
            ready = self.process.stdout.readline()
        if ready.strip() != READY:
            exit_code, last_line = self._stop(_EXIT_SECONDS)
            raise _start_error(last_line or f"exit code {exit_code}")
        return self.process

    def _stop(self, wait_seconds: float = 0.0) -> tuple[int, str]:
        """End the process. Returns its exit code and the last line of its standard error.

        A process that is exiting has `wait_seconds` to do so, because its exit code says why.
        """
        process, self.process = self.process, None
        stderr, self._stderr = self._stderr, None
        exit_code, last_line = 0, ""
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(wait_seconds)
            process.kill()
            process.communicate()
            exit_code = process.returncode
        if stderr is not None:
            stderr.seek(0)
            lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
            last_line = lines[-1] if lines else ""
            stderr.close()
        return exit_code, last_line

    def _error(self, name: str, timed_out: bool, exit_code: int, last_line: str) -> ConversionError:
        if timed_out:
            return ConversionError(
                found=f"{name} took longer than {self._limits.seconds:g} s to convert",
                expected="a file that converts within that time",
                next_step=f"split {name}, or raise `seconds` under `ingest:` in domain.yaml",
            )
        if exit_code == OUT_OF_MEMORY:
            return ConversionError(
                found=f"{name} took more than {self._limits.memory_mib} MiB of memory to convert",
                expected="a file that converts within that memory",
                next_step=f"split {name}, or raise `memory_mib` under `ingest:` in domain.yaml",
            )
        reason = last_line or f"exit code {exit_code}"
        if exit_code < 0:
            names = {number.value: number.name for number in signal.Signals}
            reason = names.get(-exit_code, f"signal {-exit_code}")
        return ConversionError(
            found=f"{name} crashed the converter ({reason})",
            expected="a file that the reader of its format can parse",
            next_step=f"open {name} in the program it comes from and save it again, or in another format",
        )


class Deadline:
    """Kills a process if the block takes longer; closing its pipes ends the block. `restart` begins the time again."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.has_passed = False
        self._process = process
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()

    def restart(self) -> None:
        self._cancel()
        if not self.has_passed:
            self._timer = threading.Timer(self._seconds, self._kill)
            self._timer.daemon = True
            self._timer.start()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _kill(self) -> None:
        self.has_passed = True
        self._process.kill()


def _request(
    process: subprocess.Popen[bytes], header: dict[str, object], data: bytes, on_page: Callable[[], None]
) -> bytes:
    """The line of the reply; incomplete if the process ended without one. `on_page`: called before each page of OCR."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        send(process.stdin, json.dumps(header).encode(), data)
        while (line := process.stdout.readline()) == PAGE:
            on_page()
        return line
    return b""


def _environment() -> dict[str, str]:
    """This process's environment, with this package importable and without extra threads, which need memory."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _start_error(reason: str) -> RetrievalError:
    return RetrievalError(
        found=f"the conversion process does not start ({reason})",
        expected=f"{sys.executable or 'Python'} can run `-m retrieval.conversion.worker`",
        next_step="free some memory, and check the installation: pip install --force-reinstall --no-deps softgraft",
    )
