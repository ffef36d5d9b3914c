"""Front matter gives the title of a page and is in no passage; a text that only resembles it is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval import convert_file, split_document
from retrieval.documents import passage_text
from retrieval.splitting.front_matter import front_matter
from tests.support.effort import effort

BODY = "\nThe body, in full.\n"
SETTINGS = {
    "nested": "---\ntitle: Fees\nparams:\n  menu: side\nweight: 3\ntags: [a,\n  b]\n---\n",
    "quoted": "---\n\"title\": 'Fees'\nslug: /x\n---   \n",
    "commented": "---\n# a note\ntitle: Fees # of all cards\nslug: /x\n---\n",
    "folded": "---\ntitle: >-\n  Fees\nlayout: x\n---\n",
    "ended by dots": "---\ntitle: Fees\nlayout: x\n...\n",
    "unquoted colon": "---\nlayout: a: b\ntitle: Fees\n---\n",
    "unclosed quote": '---\nlayout: "a\ntitle: Fees\n---\n',
    "tab": "---\ntitle: Fees\nmenu:\n\tside: x\n---\n",
    "list at the margin": "---\ntitle: Fees\ntags:\n- a\n-   b\n---\n",
    "toml": "+++\ntitle = 'Fees'\nweight = 3\n[menu]\nside = 'x'\n+++\n",
    "malformed toml": "+++\ntitle = 'Fees'\nweight = = 3\n+++\n",
    "capitals": "---\nTitle: Fees\nLayout: x\n---\n",
}
TEXTS = {
    "a rule before a text": "---\n\nNote: a text.\n\n---\n",
    "a rule before a heading": "---\n\n# Hours\n\nMonday: closed\n\n---\n",
    "a sentence between rules": "---\nPlease note: we are closed.\n---\n",
    "a sentence among settings": "---\ntitle: Fees\nThis sentence is text.\n---\n",
    "no end": "---\ntitle: Fees\nslug: /x\n",
    "no end in toml": "+++\ntitle = 'Fees'\n",
    "a longer rule": "----\ntitle: Fees\n----\n",
    "a text before it": "Text.\n---\ntitle: Fees\n---\n",
}


def count_tokens(text: str) -> int:
    return len(text.split()) + 2


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_give_the_title_and_are_in_no_passage(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "index.md"
    path.write_text(SETTINGS[kind] + BODY, "utf-8")
    [document] = convert_file(path, tmp_path)
    assert document.title == "Fees"
    assert [passage_text(one) for one in split_document(document, count_tokens)] == ["Fees\nThe body, in full."]


@pytest.mark.parametrize("kind", TEXTS)
def test_what_only_resembles_settings_stays_in_the_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "index.md"
    path.write_text(TEXTS[kind] + BODY, "utf-8")
    [document] = convert_file(path, tmp_path)
    shown = "\n".join(passage_text(one) for one in split_document(document, count_tokens))
    for line in filter(None, (line.strip("-+# ") for line in document.text.split("\n"))):
        assert line in shown


def test_a_page_of_settings_alone_has_its_description(tmp_path: Path) -> None:
    path = tmp_path / "index.md"
    path.write_text("---\ntitle: Fees\nslug: /x\ndescription: All our fees.\n---\n", "utf-8")
    [document] = convert_file(path, tmp_path)
    assert [passage_text(one) for one in split_document(document, count_tokens)] == ["Fees\nAll our fees."]


def test_lines_may_end_with_a_carriage_return(tmp_path: Path) -> None:
    path = tmp_path / "index.md"
    path.write_bytes(b"\xef\xbb\xbf---\r\ntitle: Fees\r\nslug: /x\r\n---\r\nText.\r\n")
    [document] = convert_file(path, tmp_path)
    assert document.title == "Fees"
    assert [one.text for one in split_document(document, count_tokens)] == ["Text."]


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + "a: b\n" * 200_000,
        "---\na: " + "[" * 50_000 + "\n---\n",
        "---\n" + "a: &a [x]\n" + "".join(f"k{n}: &k{n} [*a, *a]\n" for n in range(500)) + "---\n",
        "---\na: " + "-" * 100_000 + "x\n---\n",
        "+++\na = " + "[" * 50_000 + "\n+++\n",
        "---\n" + "title: " + " a" * 90_000 + "\n---\n",
    ],
    ids=["no end", "deep", "repeated", "dashes", "deep toml", "long"],
)
def test_reading_takes_linear_time(text: str) -> None:
    assert effort(lambda: front_matter(text)) < 60
