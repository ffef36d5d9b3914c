"""AsciiDoc to text."""

from __future__ import annotations

import time

import pytest

from retrieval.conversion.convert import convert_here
from retrieval.conversion.converted import Converted


def converted(text: str) -> Converted:
    return convert_here(text.encode(), ".adoc", "a.adoc")


def test_title_header_headings_and_what_is_left_out() -> None:
    page = converted(
        "= Fees\nAnn <a@b.c>\n:bank: Harbour\n\n// comment\n////\nhidden\n////\n{bank} has\nnone.\n"
        "\n[[abroad]]\n== Abroad\n\n++++\n<b>raw</b>\n++++\ninclude::/etc/passwd[]\nimage::a.png[Alt]\n'''\n"
        "ifdef::x[]\nMore {unknown}.\nendif::[]\n"
    )
    assert page.title == "Fees"
    assert page.text == "# Fees\n\nAnn <a@b.c>\n\nHarbour has none.\n\n## Abroad\n\nMore {unknown}.\n"
    [note] = page.notes
    assert note.startswith("one inserted file was not read here")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("* one\nmore\n** two\n\n* three\n", "- one more\n  - two\n- three\n"),
        (". a\n.. b\n. c\n+\nattached\n", "1. a\n  1. b\n2. c\n\nattached\n"),
        ("* a\n\n. b\n", "- a\n\n1. b\n"),
        ("fee:: What it costs.\nlimit::\n  How much.\n", "fee: What it costs.\n\nlimit: How much.\n"),
        ("NOTE: Bring it.\n", "Note: Bring it.\n"),
        ("[WARNING]\n====\nIt costs.\n\nMore.\n====\n", "Warning: It costs.\n\nMore.\n"),
        (".Prices\n[source,ruby]\n----\nputs 1\n\n== no\n----\n", "Prices\n\nputs 1\n\n== no\n"),
        ("one +\ntwo\n", "one\ntwo\n"),
        ("Run:\n\n  a = 1\n", "Run:\n\n  a = 1\n"),
        ("*a* **b**c _d_ `e` snake_case_name 2*3*4 [.role]#f#\n", "a bc d e snake_case_name 2*3*4 f\n"),
        ("<<x,See x>>, <<y>>, xref:z.adoc[the _z_], link:q[]\n", "See x, y, the z, q\n"),
        (
            "https://a.b/c[site^] kbd:[Ctrl+C] menu:File[Save] a footnote:[Once.]\n",
            "site Ctrl+C File > Save a (Once.)\n",
        ),
        ("10^6^ H~2~O pass:[*x*] (((index)))\n", "10⁶ H₂O x\n"),
    ],
)
def test_blocks_and_inline_text(source: str, text: str) -> None:
    assert converted(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("|===\n|Land |Price\n\n|Chad\n|5\n|===\n", "Land | Price\nChad | 5\n"),
        ('[cols="1,1"]\n|===\n|a\n|b\n2+|wide\n.2+|high |c\n|d\n|===\n', "a | b\nwide | wide\nhigh | c\nhigh | d\n"),
        ('[cols="2*"]\n|===\n2*|x\n|y a|* z\n|===\n', "x | x\ny | * z\n"),
        (',===\na,"b, c"\n1,2\n,===\n', "a | b, c\n1 | 2\n"),
    ],
)
def test_tables(source: str, text: str) -> None:
    page = converted(source)
    assert page.text == text
    assert [mark.kind for mark in page.marks or ()] == ["table"]


@pytest.mark.parametrize(
    "piece",
    [
        "*a ",
        "link:",
        "pass:[",
        "footnote:[",
        "((( ",
        "a::b ",
        ". a\n\n",
        '[cols="999999*"]\n|===\n|a\n',
        "|===\n9999+|a\n",
    ],
)
def test_much_markup_without_an_end_takes_linear_time(piece: str) -> None:
    began = time.monotonic()
    converted(piece * 3000)
    assert time.monotonic() - began < 5


def test_attributes_that_name_each_other_stay_short() -> None:
    assert len(converted(":a: x\n" + ":a: {a}{a}\n" * 40 + "\n{a}\n").text) < 1000
