"""E-mail messages, subtitles and source code to Markdown-like text."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from retrieval import ConversionError
from retrieval.conversion.convert import SUFFIXES, convert_file, convert_here
from retrieval.conversion.text.format_code import SUFFIXES as CODE_SUFFIXES

HEAD = b"From: Ann <ann@example.org>\nSubject: =?utf-8?q?Geb=C3=BChren?=\nMIME-Version: 1.0\n"
PARTS = b"""Content-Type: multipart/mixed; boundary=X

--X
Content-Type: multipart/alternative; boundary=Y

--Y
Content-Type: text/plain

3 percent.
--Y
Content-Type: text/html

<p>No</p>
--Y--
--X
Content-Type: image/png; name="card.png"
Content-Disposition: attachment; filename="card.png"
Content-Transfer-Encoding: base64

iVBORw==
--X
Content-Type: message/rfc822

From: Bob <bob@example.org>
Subject: Limits

650 euros.
--X--
"""


def text_of(data: bytes, suffix: str) -> str:
    return convert_here(data, suffix, f"a{suffix}").text


def test_a_message_with_attachments_and_a_forwarded_message() -> None:
    converted = convert_here(HEAD + PARTS, ".eml", "a.eml")
    assert converted.title == "Gebühren"
    assert converted.text == (
        "# Gebühren\n\nFrom: Ann <ann@example.org>\n\n3 percent.\n\nAttachments: card.png\n\n## Limits\n\n"
        "From: Bob <bob@example.org>\n\n650 euros.\n"
    )


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"From: <\nSubject: Fees\n", "# Fees\n\nFrom: <\n\n3 percent.\n"),
        (b"Subject: Fees\nTo: \xe9 <\n", "# Fees\n\nTo: \ufffd <\n\n3 percent.\n"),
    ],
)
def test_a_damaged_address_is_shown_as_it_is_written(header: bytes, shown: str) -> None:
    text = text_of(header + b"\n3 percent.\n", ".eml")
    assert text.encode().decode() == shown


def test_a_message_of_html_alone_and_one_with_an_unknown_encoding() -> None:
    page = HEAD + b"Content-Type: text/html; charset=utf-8\n\n<h2>Offer</h2><p>4<br>percent</p><script>no</script>"
    assert text_of(page, ".eml").endswith("\n\n## Offer\n\n4\npercent\n")
    unknown = HEAD + b"Content-Type: text/plain; charset=x-none\nContent-Transfer-Encoding: 8bit\n\nGr\xfc\xdfe"
    assert text_of(unknown, ".eml").endswith("\n\nGrüße\n")


def test_a_file_that_is_no_message_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"a\.eml has no header of an e-mail message"):
        text_of(b"\x00\x01 binary", ".eml")


def test_subtitles_without_times_and_marks() -> None:
    srt = (
        b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>Our rate</i> is\r\n\r\n2\r\n00:00:02,000 --> "
        b"00:00:03,000\r\n{\\an8}3 percent.\r\n\r\n3\r\n00:00:03,000 --> 00:00:04,000\r\nBye\r\n"
    )
    assert text_of(srt, ".srt") == "Our rate is 3 percent.\nBye\n"
    vtt = b"WEBVTT\n\nNOTE x\n\nid\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hi <00:01.500>&amp; welcome\n"
    assert text_of(vtt, ".vtt") == "Hi & welcome\n"
    assert text_of(b"WEBVTT\n", ".vtt") == ""


def test_code_has_no_headings() -> None:
    text = text_of(b"# First\r\nx = '```'\n\n## Second\n", ".py")
    assert text == "# First\nx = '```'\n\n## Second\n"
    assert convert_here(b"# First\n\n## Second\n", ".py", "a.py").marks == ()
    assert convert_here(b"SELECT 1;", ".sql", "queries/cards.sql").title == "cards.sql"
    assert set(CODE_SUFFIXES) < set(SUFFIXES)
    assert ".yaml" not in SUFFIXES


@pytest.mark.parametrize(
    "notebook",
    [
        {"nbformat": 4, "cells": [
            {"cell_type": "markdown", "source": ["# Fees\n", "\n", "None."]},
            {"cell_type": "raw", "source": "raw"},
            {"cell_type": "code", "source": "fee = '```'\n", "outputs": [{"text": ["printed"]}]},
            {"cell_type": "code", "source": []},
        ]},
        {"nbformat": 3, "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 1, "source": "Fees"},
            {"cell_type": "markdown", "source": "None."},
            {"cell_type": "code", "input": ["fee = '```'"], "outputs": []},
        ]}]},
    ],
)  # fmt: skip
def test_a_notebook_is_its_text_and_code(notebook: dict[str, object]) -> None:
    converted = convert_here(json.dumps(notebook).encode(), ".ipynb", "a.ipynb")
    assert converted.text == "# Fees\n\nNone.\n\n````````\nfee = '```'\n````````\n"
    assert (converted.title, converted.writing) == ("Fees", "markdown")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"cells": 3}', b'{"cells": [{}]}', b"[" * 100_000])
def test_what_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(ConversionError, match=r"a\.ipynb is not a notebook"):
        text_of(data, ".ipynb")


def test_mdx_is_markdown_without_its_statements() -> None:
    page = (
        b"---\ntitle: Fees\n---\nimport Tabs from '@theme/Tabs';\nimport {\n  A,\n} from 'b';\nexport const x = 1;\n\n"
        b"import costs 5 euros\n\n<Tabs>\nNone.\n</Tabs>\n\n```js\nimport a from 'a';\n```\n"
    )
    converted = convert_here(page, ".mdx", "a.mdx")
    assert converted.text == (
        "---\ntitle: Fees\n---\n\nimport costs 5 euros\n\n<Tabs>\nNone.\n</Tabs>\n\n```js\nimport a from 'a';\n```\n"
    )
    assert (converted.title, converted.writing) == ("Fees", "markdown")


@pytest.mark.parametrize(
    "statement",
    [
        "export const a = {\n  b: {\n    c: '}',\n  },\n\n  d: 2, // {\n};",
        "export const x = [\n  1,\n];",
        "export const A = ({x}) => (\n  <b>{x}</b>\n);",
        "export const f =\n  () => 1;",
        "export default function L() {\n  const a = {b: 1}\n\n  return a\n}",
        "export * from './a';\nexport {a} from 'b';\nexport async function f() {}\nexport class A {}",
        "export type T = {\n  a: 1\n}\nimport type {A} from 'b'\nimport * as x from 'y'\nimport 'z';",
    ],
)
def test_statements_of_mdx_end_where_their_brackets_do(statement: str) -> None:
    assert text_of(f"{statement}\n# T\n\ntext\n".encode(), ".mdx") == "# T\n\ntext\n"


@pytest.mark.parametrize(
    "text",
    [
        "import goods from abroad\n\ntext\n",
        "```\n```js\nimport a from 'a'\n```\n",
        "a\u2028import a from 'b'\x0cc\n",
        "export const a = {\n\ntext\n",
    ],
)
def test_text_of_mdx_is_kept(text: str) -> None:
    assert text_of(text.encode(), ".mdx") == text.removeprefix("export const a = {\n")


def test_many_open_statements_of_mdx_take_linear_time() -> None:
    began = time.monotonic()
    text_of(b"export const a = {\n" * 5000, ".mdx")
    assert time.monotonic() - began < 5


def test_each_cell_of_a_notebook_stands_alone() -> None:
    cells = [
        {"cell_type": "markdown", "source": "```\nopen"},
        {"cell_type": "heading", "level": 9, "source": "A\nB"},
        {"cell_type": "heading", "level": 1, "source": ""},
        {"cell_type": "code", "source": ["x = 1\r\n", "````````\r", "y\x00\ud800"]},
    ]
    text = text_of(json.dumps({"cells": cells}).encode(), ".ipynb")
    assert text == "```\nopen\n```\n\n###### A B\n\n`````````\nx = 1\n````````\ny\ufffd\n`````````\n"


def test_tab_separated_rows(tmp_path: Path) -> None:
    (tmp_path / "fees.tsv").write_text("title\tprice, net\nCash, abroad\t5, 6, 7\nCard, here\t0\n")
    documents = convert_file(tmp_path / "fees.tsv", tmp_path)
    assert [(document.title, document.text) for document in documents] == [
        ("Cash, abroad", "price, net: 5, 6, 7"),
        ("Card, here", "price, net: 0"),
    ]
