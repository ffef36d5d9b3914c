"""The fenced code blocks of Markdown pages, and how to run them."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from softgraft.__main__ import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
COMMANDS = ("bash", "console", "sh")
DATA = ("json", "jsonl", "yaml")
# Program output or file content: nothing to run or to parse.
SHOWN = ("diff", "dockerfile", "html", "ini", "markdown", "nginx", "text")
# A block that cannot run here says why in a comment on the line before it.
NOT_RUN = re.compile(r"<!--\s*not run:\s*(\S.*?)\s*-->\s*$")
# Standard input of every command: one question for `softgraft chat`.
STDIN = "And a lost card?\n\n"


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: path of its page, relative to the repository.
        line: number of its first line.
        language: the word behind the opening fence.
        text: its content.
        reason: why it is not run, or None.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None

    @property
    def kind(self) -> Literal["python", "command", "data", "shown", "unknown"]:
        """How the block is tested."""
        if self.language in COMMANDS:
            return "command"
        if self.language == "python":
            return "python"
        return "data" if self.language in DATA else "shown" if self.language in SHOWN else "unknown"

    @property
    def runs(self) -> bool:
        """Whether the block can run here."""
        return self.kind in ("python", "command") and self.reason is None

    @property
    def commands(self) -> list[str]:
        """The command lines of the block, without prompts, comments and output."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


@dataclass(frozen=True)
class Outcome:
    """The output of a block, and its traceback if it failed."""

    output: str
    problem: str | None


def pages() -> list[Path]:
    """Every page, the README first."""
    return [README, *sorted((ROOT / "docs").rglob("*.md"))]


def parse_blocks(page: str, text: str) -> list[Block]:
    """Return every fenced block of a page.

    Raises:
        ValueError: if a block has no closing fence.
    """
    blocks: list[Block] = []
    lines = text.splitlines()
    start = None
    fence = language = ""
    for number, line in enumerate(lines):
        opening = re.match(r"\s*(`{3,}|~{3,})(.*)$", line)
        if start is None and opening:
            start, fence, language = number, opening.group(1), opening.group(2).strip()
        elif start is not None and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            marker = NOT_RUN.search(lines[start - 1]) if start else None
            body = "".join(f"{inner}\n" for inner in lines[start + 1 : number])
            blocks.append(Block(page, start + 1, language, body, marker.group(1) if marker else None))
            start = None
    if start is not None:
        raise ValueError(f"{page}:{start + 1}: a block that does not end")
    return blocks


def run_page(
    blocks: Sequence[Block], folder: Path, after_command: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """Run the blocks of one page in order, in one folder and with one Python namespace.

    Args:
        blocks: those that run.
        folder: the working directory.
        after_command: called with each command line that succeeded.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    outcomes = []
    with contextlib.chdir(folder):
        for block in blocks:
            output = io.StringIO()
            problem = None
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                try:
                    if block.kind == "python":
                        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), namespace)
                    else:
                        for line in block.commands:
                            run_command(line)
                            after_command(line)
                except Exception:  # noqa: BLE001 - a block may raise anything; the test reports it
                    problem = traceback.format_exc()
            outcomes.append(Outcome(output.getvalue(), problem))
            gc.collect()
    return outcomes


def run_command(line: str) -> None:
    """Run one command line: `softgraft` in this process, `make` as a dry run, anything else in a shell.

    Raises:
        RuntimeError: if its exit code is not 0.
    """
    words = shlex.split(line)
    if words[0] == "softgraft" and not {"|", "&&", ">", ";"} & set(words):
        code = run_softgraft(words)
    else:
        # A dry run of make shows that the target exists; a real one would install packages and run these tests.
        shell = f"make -n -C {shlex.quote(str(ROOT))} {words[1]}" if words[0] == "make" else line
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", shell], env={**os.environ, "PATH": path}, input=STDIN, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        sys.stdout.write(done.stdout + done.stderr)
        code = done.returncode
    if code:
        raise RuntimeError(f"{line}: exit code {code}")


def run_softgraft(arguments: list[str]) -> int:
    """Run a `softgraft` command in this process; return its exit code."""
    argv, stdin = sys.argv, sys.stdin
    sys.argv, sys.stdin = arguments, io.StringIO(STDIN)
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        sys.argv, sys.stdin = argv, stdin
    return 0
