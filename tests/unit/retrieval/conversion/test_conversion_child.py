"""The conversion child process: shared by all files, ended by a file that exceeds a limit, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import ConversionError, Encoder, Limits, ingest
from retrieval.conversion.child import Converter, Deadline
from retrieval.conversion.convert import convert_here

pytestmark = pytest.mark.heavy

PAGE = "<h1>Fees</h1><p>Free: 年费".encode()
# The parser's time is quadratic in the depth: minutes for this one.
SLOW = b"<div>" * 300_000 + b"deep"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    with Converter(Limits(seconds=20, memory_mib=64, file_mib=1)) as made:
        yield made


def test_a_child_converts_like_this_process(converter: Converter) -> None:
    for suffix, data in ((".html", PAGE), (".htm", b"<p>more")):
        assert converter.convert(data, suffix, f"a{suffix}") == convert_here(data, suffix, f"a{suffix}")
    first = converter.process
    with pytest.raises(ConversionError) as caught:
        converter.convert(b"%PDF broken", ".pdf", "broken.pdf")
    with pytest.raises(ConversionError) as here:
        convert_here(b"%PDF broken", ".pdf", "broken.pdf")
    assert str(caught.value) == str(here.value)
    assert converter.process is first


def test_text_needs_no_child() -> None:
    with Converter(Limits()) as converter:
        assert converter.convert(b"# Fees", ".md", "a.md").title == "Fees"
        assert converter.process is None


def test_a_file_that_takes_too_long() -> None:
    with Converter(Limits(seconds=1)) as converter:
        converter.convert(PAGE, ".html", "a.html")
        late = converter.process
        with pytest.raises(ConversionError, match=r"^slow\.html took longer than 1 s to convert\. .*raise `seconds`"):
            converter.convert(SLOW, ".html", "slow.html")
        assert late is not None
        assert not is_running(late.pid)
        assert converter.convert(PAGE, ".html", "a.html").title == "Fees"


def test_a_file_that_takes_too_much_memory(converter: Converter) -> None:
    with pytest.raises(ConversionError, match=r"^wide\.html takes more memory than one file may use\. "):
        converter.convert(b"<p>x" * 800_000, ".html", "wide.html")
    # Here Python runs out of memory, not the parser.
    with pytest.raises(ConversionError, match=r"^long\.html took more than 64 MiB of memory to convert\. "):
        converter.convert(b"<p>" + b"word " * 6_000_000, ".html", "long.html")
    assert converter.convert(PAGE, ".html", "a.html").title == "Fees"


def test_a_file_that_contains_too_much_text(converter: Converter) -> None:
    with pytest.raises(ConversionError, match=r"long\.html contains 1\.1 MiB of text\. Expected: at most 1 MiB"):
        converter.convert(b"<p>" + b"word " * 230_000, ".html", "long.html")


def test_a_file_that_crashes_the_process(converter: Converter) -> None:
    converter.convert(PAGE, ".html", "a.html")
    assert converter.process is not None
    threading.Timer(0.1, os.kill, (converter.process.pid, signal.SIGSEGV)).start()
    with pytest.raises(ConversionError, match=r"^crash\.html crashed the converter \(SIGSEGV\)"):
        converter.convert(SLOW, ".html", "crash.html")
    assert converter.convert(PAGE, ".html", "a.html").title == "Fees"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs tests in the background makes them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_both_processes() -> None:
    limits = Limits(seconds=30)
    with Converter(limits) as converter:
        converter.convert(PAGE, ".html", "a.html")
        process = converter.process
        started = time.monotonic()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            converter.convert(SLOW, ".html", "slow.html")
    assert time.monotonic() - started < 5
    assert process is not None
    assert not is_running(process.pid)


def test_an_ingest_continues_after_a_file_that_times_out(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    (docs / "a-slow.html").write_bytes(SLOW)
    (docs / "page.html").write_bytes(PAGE)
    report = ingest(docs, index_dir, encoder, limits=Limits(seconds=1))
    ((name, why),) = report.failed
    assert name == "a-slow.html"
    assert "took longer than 1 s" in why
    assert report.added == 4


def test_the_time_of_a_file_begins_again_with_each_recognised_page() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with Deadline(process, 1.0) as deadline:
            for _ in range(3):
                time.sleep(0.6)
                deadline.restart()
            assert process.poll() is None
            assert process.wait(10) == -signal.SIGKILL
        assert deadline.has_passed
