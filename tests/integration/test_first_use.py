"""The first question unpacks the backbone: one line says so, and no library draws bars, not even on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import softgraft
from softgraft import open_domain

pytestmark = pytest.mark.slow

ROOT = Path(softgraft.__file__).parents[1]
BARS = ("%|", "it/s", "de-quantizing", "Writing model shards", "Loading weights", "Warning", "warn")


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested domain."""
    folder = tmp_path_factory.mktemp("first") / "domains" / "shop"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "hours.md").write_text("# Hours\n\nThe shop opens at 9.30am. It is closed on Sundays.\n")
    (folder / "domain.yaml").write_text("name: shop\ntitle: The shop\nanswer:\n  form: both\n  max_tokens: 8\n")
    opened = open_domain(folder)
    opened.ingest()
    opened.close()
    return folder


def on_terminal(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """The output of a command whose standard output and error are a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "softgraft", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            # Linux reports the end of the other side as an error.
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    assert process.wait(timeout=300) == 0, output.decode()
    return output.decode()


def test_the_first_question_on_a_terminal(domain: Path, tmp_path: Path) -> None:
    folder = domain.parents[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SOFTGRAFT_CACHE": str(tmp_path), "COLUMNS": "120"}
    for name in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        environment.pop(name, None)
    output = on_terminal(["ask", "shop", "When does the shop open?"], folder, environment)
    assert output.count("unpacking the backbone (once, about 20 s)") == 1
    assert not [bar for bar in BARS if bar in output], output
    again = on_terminal(["ask", "shop", "When does the shop open?"], folder, environment)
    assert "unpacking" not in again


def test_a_chat_as_json_is_one_line_per_answer(domain: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "softgraft", "chat", "shop", "--json"],
        cwd=domain.parents[1],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="When does the shop open?\nAnd when does it close?\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    questions = [json.loads(line)["question"] for line in done.stdout.splitlines()]
    assert questions == ["When does the shop open?", "And when does it close?"]
