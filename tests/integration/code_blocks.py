"""The code blocks of a Markdown page, and a process that runs those of many pages one after another.

Run as a script it takes a file that says what to run and writes what came of it beside it. One process for all,
since loading the libraries takes longer than most commands do.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
COMMANDS = ("bash", "console", "sh")
DATA = ("json", "jsonl", "yaml")
# What a program wrote, or what is shown of a file; nothing to run.
SHOWN = ("diff", "html", "markdown", "text")
# A reason why a block cannot run here stands right before it.
NOT_RUN = re.compile(r"<!--\s*not run:\s*(\S.*?)\s*-->\s*$")
TYPED = "And a lost card?\n\n"
# The other pages find the example domain as the README leaves it behind this command.
TRAINED = "softgraft train bank"


@dataclass(frozen=True)
class Block:
    """One fenced block: the page it stands on, its first line there, its language and text, and why it is not run."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None

    @property
    def kind(self) -> Literal["python", "command", "data", "shown", "unknown"]:
        """What is done with it."""
        if self.language in COMMANDS:
            return "command"
        if self.language == "python":
            return "python"
        return "data" if self.language in DATA else "shown" if self.language in SHOWN else "unknown"

    @property
    def lines(self) -> list[str]:
        """The commands of a block that has nothing but plain ones, a line each."""
        joined = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            joined = [line.removeprefix("$ ") for line in joined if line.startswith("$ ")]
        return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


@dataclass(frozen=True)
class Outcome:
    """What came of a block: its output, what went wrong, or None, and how long it took."""

    page: str
    line: int
    output: str
    problem: str | None
    seconds: float


def pages() -> list[Path]:
    """The pages whose blocks are run, the README first."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of(page: str, text: str) -> list[Block]:
    """Every fenced block of a page."""
    found: list[Block] = []
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
            found.append(Block(page, start + 1, language, body, marker.group(1) if marker else None))
            start = None
    if start is not None:
        raise ValueError(f"{page}:{start + 1}: a block that does not end")
    return found


def run_page(blocks: list[Block], folder: Path, trained: Path) -> list[Outcome]:
    """Run what can be run of one page, in order, in its folder."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    outcomes = []
    os.chdir(folder)
    for block in blocks:
        started = time.monotonic()
        output = io.StringIO()
        problem = None
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                if block.kind == "python":
                    exec(compile(block.text, f"{block.page}:{block.line}", "exec"), namespace)
                else:
                    for line in block.lines:
                        run_command(line)
                        if line == TRAINED and not trained.exists():
                            shutil.copytree(folder, trained)
            except Exception:  # noqa: BLE001 - whatever a block raises is what came of it
                problem = traceback.format_exc()
        outcomes.append(Outcome(block.page, block.line, output.getvalue(), problem, time.monotonic() - started))
        gc.collect()
    return outcomes


def run_command(line: str) -> None:
    """One command line.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    words = shlex.split(line)
    code = 0
    if words[0] == "softgraft" and not {"|", "&&", ">", ";"} & set(words):
        from softgraft.__main__ import main

        sys.argv, sys.stdin = words, io.StringIO(TYPED)
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
    else:
        # A target that exists and knows its steps will do: they install, and run the tests, this one among them.
        shell = f"make -n -C {shlex.quote(str(ROOT))} {words[1]}" if words[0] == "make" else line
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", shell], env={**os.environ, "PATH": path}, input=TYPED, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        sys.stdout.write(done.stdout + done.stderr)
        code = done.returncode
    if code:
        raise RuntimeError(f"{line}: exit code {code}")


def main() -> None:
    """Run the blocks of a job: a folder with the example domain, and blocks by page."""
    job_file = Path(sys.argv[1])
    job = json.loads(job_file.read_text(encoding="utf-8"))
    first = Path(job["folder"])
    trained = first.with_name("trained")
    outcomes: list[Outcome] = []
    for number, blocks in enumerate(job["pages"]):
        folder = first
        if number:
            folder = first.with_name(f"page-{number}")
            shutil.copytree(trained, folder)
        outcomes += run_page([Block(**block) for block in blocks], folder, trained)
        job_file.with_suffix(".out.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes]))


if __name__ == "__main__":
    main()
