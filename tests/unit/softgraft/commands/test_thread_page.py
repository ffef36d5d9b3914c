"""The exported page of a conversation: nothing that anyone wrote becomes a heading, a link, HTML or another turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from softgraft import Domain
from softgraft.jobs.transcript import as_markdown

Run = Callable[..., tuple[int, str, str]]
MARK = "\N{LATIN SMALL LETTER TURNED M}"
HOSTILE = [
    "## 2. Forged question",
    "x\n## You\n\nforged",
    "x\r## You\r\rforged",
    "x\r\n\r\n## You\r\n",
    "forged\n======",
    "forged\n---",
    "```\n## You\n```",
    "````\n## You",
    "`" * 40 + "\n## You\n" + "`" * 40,
    "a ` b",
    "`",
    "``",
    "`x",
    "x`",
    " ` ",
    "~~~\n# x\n~~~",
    "\\",
    "\\`",
    "x\\",
    "`\\",
    "<script>alert(1)</script>",
    "<!-- x",
    "x --> y",
    "<img src=x onerror=y>",
    "</code></pre><h1>x</h1>",
    "<div>\n\n# x\n\n</div>",
    "[x](https://example.org)",
    "[x](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "[x]: https://example.org\n[x]",
    "[x][x]",
    "<https://example.org>",
    "https://example.org",
    "www.example.org",
    "anna@example.org",
    "@octocat #1",
    "> quote\n>\n> from x",
    "- item\n- item",
    "1. item",
    "* * *",
    "***",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "*x* _y_ **z** ~~w~~",
    "&lt;b&gt; &#96;",
    "$x$ $$y$$",
    "\tcode",
    "    code",
    "x  \ny",
    "",
    " ",
    "\n",
    "\n\n# x",
    "x\n\n\n\n# y",
    "\x1b]0;title\x07\x1b[2J",
    "\x00",
    "\x0b# x\x0c# y\x1c# z\x85# w\u2028# v\u2029# u",
    "\ud800 \udfff",
    "\u202e# x",
    "---\ntitle: x\n---",
    ":::note\nx\n:::",
    "{{x}}",
    "{% x %}",
    "[^1]\n\n[^1]: x",
    "Term\n: x",
    "# " + "x" * 5000,
]


def rendered(page: str) -> list[tuple[str, str]]:
    """The page as a Markdown parser reads it, with HTML and bare links: (type, tag) of all tokens."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page)
    flat = []
    for token in tokens:
        flat.append((token.type, token.tag))
        flat += [(child.type, child.tag) for child in token.children or ()]
    return flat


def outside_code(page: str) -> str:
    """All text that is not code."""
    texts = []
    for token in MarkdownIt("commonmark", {"html": True}).parse(page):
        texts += [child.content for child in token.children or () if child.type != "code_inline"]
        if not token.children and token.type not in ("fence", "inline"):
            texts.append(token.content)
    return "\n".join(texts)


def page_with(text: str) -> str:
    citation = {
        "quote": text, "title": text, "heading": text, "doc_id": text, "page": None, "start": 1, "end": 2,
    }  # fmt: skip
    turn: dict[str, Any] = {"question": text, "answer": text, "citations": [citation, citation], "notices": [text]}
    turns = [{"number": number, "at": text, **turn} for number in (1, 2)]
    return as_markdown({"thread": text, "summary": text, "damaged": [], "turns": turns}, text)


PLAIN = rendered(page_with("plain"))


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_page_has_the_same_structure_whatever_is_in_it(number: int) -> None:
    text = HOSTILE[number]
    for given in (text, f"{MARK}{text}{MARK}", f"plain\n\n{text}\n\nplain", f"plain {text}"):
        page = page_with(given)
        page.encode()
        tokens = rendered(page)
        blank = not given.split()
        # An empty text is written as "(empty)" and its summary and time are left out.
        if not blank:
            assert tokens == PLAIN, page
        assert {kind for kind, _ in tokens} <= {kind for kind, _ in PLAIN}
        assert [tag for kind, tag in tokens if kind == "heading_open"] == ["h1", "h2", "h2"]
        assert MARK not in outside_code(page)
        assert not set(page) & set("\x00\x07\x0b\x0c\x1b\x1c\x85\r")


def test_an_answer_is_exact_in_its_block() -> None:
    answer = "It costs *12* euros.\n\n  - `a` & <b>\n````\nhttps://example.org"
    [fence] = [
        token.content
        for token in MarkdownIt("commonmark").parse(page_with("plain").replace("plain", "x"))
        if token.type == "fence"
    ][:1]
    assert fence == "x\n"
    turn = {"number": 1, "question": "q", "answer": answer, "citations": []}
    page = as_markdown({"thread": "1", "summary": None, "damaged": [], "turns": [turn]}, "t")
    [fence] = [token.content for token in MarkdownIt("commonmark").parse(page) if token.type == "fence"]
    assert fence == answer + "\n"


@pytest.mark.heavy
def test_a_conversation_with_hostile_text_is_exported(
    run: Run, make_domain: Callable[..., Domain], tmp_path: Path
) -> None:
    domain = make_domain("house", ingest=True)
    question = "What does it cost?\n\n## 2. Forged\n\n<b>x</b>\n```\n\x1b[2J"
    domain.chain.invoke({"question": question}, config={"configurable": {"thread_id": "a`b\n# c"}})
    memory = domain.chain.memory
    found = memory.get_tuple({"configurable": {"thread_id": "a`b\n# c"}})
    assert found is not None
    domain.chain.close()
    for format in ("markdown", "json"):
        code, out, err = run("threads", "export", "house", "a`b\n# c", "--format", format)
        assert (code, err) == (0, "")
        code, _, _ = run("threads", "export", "house", "a`b\n# c", "--format", format, "--output", f"page.{format}")
        assert (code, (tmp_path / f"page.{format}").read_text(encoding="utf-8")) == (0, out)
    assert json.loads(run("threads", "export", "house", "a`b\n# c", "--format", "json")[1])["thread"] == "a`b\n# c"
    page = (tmp_path / "page.markdown").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert [tag for kind, tag in rendered(page) if kind == "heading_open"] == ["h1", "h2"]
    assert not [kind for kind, _ in rendered(page) if kind.startswith("html")]
