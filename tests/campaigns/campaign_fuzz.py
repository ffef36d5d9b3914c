"""Files for the parsers that read foreign bytes: whole ones of every format, changed where hypothesis draws."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from evaluation.errors import EvaluationError
from evaluation.items import read_item_file
from prompts.errors import PromptError
from prompts.load import load_template
from prompts.yaml_document import YamlError, parse_yaml
from retrieval.conversion.convert import SUFFIXES, convert_here, convert_rows, has_rows
from retrieval.documents import Document
from retrieval.errors import RetrievalError
from retrieval.splitting.split import split_document

# Bytes that parsers treat in a special way.
_TOKENS = (
    b"\x00", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"\x1b", b"\r", b"\n\n", b"\t",
    b"<", b">", b"</", b"<!--", b"]]>", b"&#x110000;", b"&#xD800;", b"&amp;", b"<table>", b"<sup>",
    b"<td colspan=99999999>", b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"|", b"#", b"---\n", b"%%EOF", b"endobj",
    b"stream\n", b"1e999", b"-1", b"99999999999999999999", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"charset=utf-7",
    b"Content-Type: multipart/mixed; boundary=x",
)  # fmt: skip


@cache
def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Small files of every format, by suffix."""
    from benchmarks.documents.cases import all_cases

    found: dict[str, list[bytes]] = {}
    for case in all_cases():
        found.setdefault(case.suffix, []).append(case.build())
    found[".md"] = [
        b"---\ntitle: A\n---\n# One\n\n1. first\n2. second\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n# code\n```\n"
    ]
    found[".txt"] = ["A line.\nAnother, 5 km (see 1.2).\n\n\u0939\u093f\u0928\u094d\u0926 \u0e20\u0e32\n".encode()]
    found[".rst"] = [
        b"Fees\n====\n\n:Author: Ann\n\nA *page* [1]_ and :ref:`fees <x>`, |x|.\n\n.. |x| replace:: y\n.. [1] A note.\n"
        b"\n=== ===\na   b\n=== ===\n1   2\n=== ===\n\n+--+--+\n| c   |\n+--+--+\n\n.. note:: Bring it.\n\n1. one\n\n"
        b"   a. two\n\n.. list-table::\n\n   * - A\n     - B\n\n.. function:: f(x)\n\n   Does it.\n\n::\n\n  code\n\n"
        b"-a  all\n\nterm\n  what\n"
    ]
    found[".adoc"] = [
        b"= Fees\n:a: x\n\n{a} *b* <<c,d>> footnote:[e] 10^6^\n\n[WARNING]\n====\nf\n====\n\n* g\n** h\n\n. i\n"
        b'\nj:: k\n\n----\nl\n----\n\n[cols="1,1"]\n|===\n|m |n\n2+|o\n|===\n'
    ]
    found[".ipynb"] = [
        b'{"cells": [{"cell_type": "markdown", "source": ["# A\\n", "b"]}, {"cell_type": "code", "source": "c"}]}'
    ]
    found[".mdx"] = [b"---\ntitle: A\n---\nimport {\n B\n} from 'b';\n\n# A\n\n<B>\nc\n</B>\n\n```js\nimport d\n```\n"]
    found[".tsv"] = [b"id\ttitle\ttext\n1\tFees\tIt costs 5\n"]
    found[".csv"] = [b'id,title,text\n1,Fees,It costs 5\n2,Hours,"Open, 9 to 5"\n']
    found[".jsonl"] = [
        b'{"id": 1, "title": "Fees", "text": "It costs 5", "more": {"a": [1, 2]}}\n{"id": "b", "text": "x"}\n'
    ]
    return {suffix: tuple(files) for suffix, files in found.items() if suffix in SUFFIXES}


@st.composite
def changed(draw: st.DrawFn, files: tuple[bytes, ...]) -> bytes:
    """A file with a few changes; of an archive, also inside one of its members."""
    data = draw(st.sampled_from(files))
    if data[:2] == b"PK" and draw(st.booleans()):
        return _with_changed_member(draw, data)
    return _changed_bytes(draw, data)


def _changed_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 64))
        what = draw(st.sampled_from(("token", "cut", "flip", "drop", "repeat", "bytes")))
        if what == "token":
            data = data[:place] + draw(st.sampled_from(_TOKENS)) * draw(st.integers(1, 3)) + data[place:]
        elif what == "cut":
            data = data[:place]
        elif what == "flip" and data:
            data = data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        elif what == "drop":
            data = data[:place] + data[place + length :]
        elif what == "repeat":
            data = data[:place] + data[place : place + length] * draw(st.integers(2, 20)) + data[place:]
        else:
            data = data[:place] + draw(st.binary(max_size=16)) + data[place + length :]
    return data


def _with_changed_member(draw: st.DrawFn, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = draw(st.sampled_from(sorted(members)))
    members[name] = _changed_bytes(draw, members[name])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return out.getvalue()


def read_document(suffix: str) -> Callable[[bytes, Path], None]:
    """Convert and split a file, as an ingest does; anything but an error of ours is a fault."""

    def read(data: bytes, folder: Path) -> None:
        path = folder / f"file{suffix}"
        try:
            if has_rows(path):
                documents = convert_rows(data, path, folder)[0]
            else:
                found = convert_here(data, suffix, path.name)
                documents = [
                    Document("file", found.title or "file", found.text, "file", path.name, "", "", found.page_starts,
                             found.writing, found.marks or ())
                ]  # fmt: skip
        except RetrievalError:
            return
        for document in documents:
            for passage in split_document(document, lambda text: len(text.split()) + 2, 60):
                assert 0 <= passage.start <= passage.end <= len(document.text)

    return read


def read_questions(data: bytes, folder: Path) -> None:
    """Read a question file."""
    path = folder / "train.jsonl"
    path.write_bytes(data)
    try:
        read_item_file(path)
    except EvaluationError:
        return


def read_template(data: bytes, folder: Path) -> None:
    """Read a prompt template."""
    path = folder / "rag-chat.en.yaml"
    path.write_bytes(data)
    try:
        load_template(path)
    except PromptError:
        return


def read_yaml(data: bytes, _: Path) -> None:
    """Parse a YAML file of ours."""
    try:
        parse_yaml(data.decode("utf-8", "replace"))
    except YamlError:
        return


def other_readers() -> dict[str, tuple[Callable[[bytes, Path], None], tuple[bytes, ...]]]:
    """The readers of files that are no documents, with whole files."""
    templates = Path(__file__).parents[2] / "prompts" / "templates"
    yaml_files = tuple(file.read_bytes() for file in sorted(templates.glob("*.yaml")))
    questions = (
        b'{"id": "1", "question": "How much?", "answers": ["5"], "doc_id": "fees", "history": [["a", "b"]]}\n',
        b"question,answers,doc_id\nHow much?,5|6,fees\n",
    )
    readers: dict[str, Any] = {
        "questions": (read_questions, questions),
        "template": (read_template, yaml_files),
        "yaml": (read_yaml, (*yaml_files, b"a: &x [1, *x]\nb: 2026-11-30\nc: !!int 5\n")),
    }
    return readers
