"""The scripts of the page that need no browser, run by Node with a server that the test describes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from softgraft.server.web.routes import STATIC

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")

# Storage and responses of a browser; `calls` has what was asked.
BROWSER = """
const stored = new Map();
globalThis.sessionStorage = {
  getItem: (name) => stored.get(name) ?? null,
  setItem: (name, value) => stored.set(name, value),
};
globalThis.calls = [];
globalThis.reply = (status, body) => new Response(JSON.stringify(body), { status });
const print = (value) => console.log(JSON.stringify(value));
"""


def run(folder: Path, program: str) -> Any:
    """What a program prints that imports the page's modules from `./js`."""
    assert NODE is not None
    shutil.copytree(STATIC / "js", folder / "js")
    # Node takes a file for a module by its name or by this.
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "program.js").write_text(BROWSER + program, encoding="utf-8")
    done = subprocess.run([NODE, "program.js"], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_key_that_no_header_can_carry_is_asked_for_again(tmp_path: Path) -> None:
    program = """
    import { domains, onKeyNeeded } from "./js/api.js";
    const typed = ["ключ", "", "two words", "sg-right"], wrong = [];
    onKeyNeeded(async (wasWrong) => { wrong.push(wasWrong); return typed.shift(); });
    globalThis.fetch = async (path, { headers }) => {
      new Headers(headers);
      return headers.Authorization === "Bearer sg-right" ? reply(200, { domains: ["bank"] }) : reply(401, {});
    };
    print([await domains(), wrong]);
    """
    assert run(tmp_path, program) == [{"domains": ["bank"]}, [False, True, True, True]]


def test_an_answer_that_was_stored_is_not_asked_for_again(tmp_path: Path) -> None:
    """The connection broke when the answer was complete; the reader leaves the page and comes back."""
    program = """
    import { conversationOf } from "./js/conversation.js";
    const turns = [{ question: "One?" }];
    globalThis.fetch = async (path) => {
      calls.push(path.split("?")[0]);
      if (path !== "api/ask") return reply(200, { title: "", summary: null, damaged: [], turns });
      turns.push({ question: "Two?" });
      throw new TypeError("network error");
    };
    const conversation = conversationOf("bank", "1");
    await conversation.load();
    await conversation.ask("Two?");
    const failed = conversation.pending.state;
    const again = conversationOf("bank", "1");
    await again.load();
    const isUnfinished = conversationOf("bank", "1") === again;
    print([failed, again === conversation, again.pending, again.turns.length, isUnfinished, calls]);
    """
    assert run(tmp_path, program) == ["failed", True, None, 2, False, ["api/thread", "api/ask", "api/thread"]]


def test_an_unfinished_question_stays_when_the_reader_comes_back(tmp_path: Path) -> None:
    program = """
    import { conversationOf } from "./js/conversation.js";
    const turns = [{ question: "Two?" }];
    globalThis.fetch = async (path) => {
      if (path !== "api/ask") return reply(200, { title: "", summary: null, damaged: [], turns });
      throw new TypeError("network error");
    };
    const conversation = conversationOf("bank", "1");
    await conversation.load();
    await conversation.ask("Two?");
    await conversation.load();
    print([conversation.pending.state, conversation.turns.length]);
    """
    assert run(tmp_path, program) == ["failed", 1]


def test_a_second_press_while_the_first_one_works_does_nothing(tmp_path: Path) -> None:
    program = """
    import { oneAtATime } from "./js/dom.js";
    const done = [], ends = [], place = { querySelector: () => null };
    const press = oneAtATime(place, String, (name) => new Promise((end) => { done.push(name); ends.push(end); }));
    const first = press("first");
    await press("second");
    ends[0]();
    await first;
    press("third");
    print(done);
    """
    assert run(tmp_path, program) == ["first", "third"]


def test_positions_count_code_points(tmp_path: Path) -> None:
    program = """
    import { citedPieces, completeSentences } from "./js/text.js";
    const answer = "\\u{1F3E6}\\u{1F3E6} cost 7. It is so.";
    const citation = { document: "signs", span: [0, 10], quote: "\\u{1F3E6}\\u{1F3E6} cost 7.", start: 0, end: 10 };
    const { pieces, sources } = citedPieces(answer, [citation, { ...citation, start: 11, end: 20 }]);
    print([pieces, sources.map((one) => one.verbatim), completeSentences("One. Two? Thr")]);
    """
    pieces, verbatim, complete = run(tmp_path, program)
    assert [piece["text"] for piece in pieces] == ["\N{BANK}\N{BANK} cost 7.", " It is so."]
    assert [piece["numbers"] for piece in pieces] == [[1], [1]]
    assert (verbatim, complete) == ([True], "One. Two? ")
