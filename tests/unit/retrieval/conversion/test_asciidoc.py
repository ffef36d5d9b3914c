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
        ("* a\n\n. b\n", "- a\n  1. b\n"),
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
        ("10^6^ H~2~O pass:[*x*] pass:q[*y*] (((index)))\n", "10⁶ H₂O *x* y\n"),
    ],
)
def test_blocks_and_inline_text(source: str, text: str) -> None:
    assert converted(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("|===\n|Land |Price\n\n|Chad\n|5\n|===\n", "Land | Price\nChad | 5\n"),
        ('[cols="1,1"]\n|===\n|a\n|b\n2+|wide\n.2+|high |c\n|d\n|===\n', "a | b\nwide | wide\nhigh | c\nhigh | d\n"),
        ('[cols="2*"]\n|===\n2*|x\n|y a|* z\n|===\n', "x | x\ny | - z\n"),
        (',===\na,"b, c"\n1,2\n,===\n', "a | b, c\n1 | 2\n"),
    ],
)
def test_tables(source: str, text: str) -> None:
    page = converted(source)
    assert page.text == text
    assert [mark.kind for mark in page.marks or ()] == ["table"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # A list in an entry counts from 1 each time, and the outer one goes on.
        ("* a\n. b\n. c\n* d\n. e\n", "- a\n  1. b\n  2. c\n- d\n  1. e\n"),
        (". a\n* b\n. c\n", "1. a\n  - b\n2. c\n"),
        ("a::\n. x\n. y\nb::\n. z\n", "a\n\n1. x\n2. y\n\nb\n\n1. z\n"),
        (". a\n+\nb:: c\n. d\n", "1. a\n\nb: c\n\n2. d\n"),
        (". a\n\n  code\n\n. b\n", "1. a\n\n  code\n\n2. b\n"),
        (". a\n+\n--\nb\n\n. c\n. d\n--\n. e\n", "1. a\n\nb\n\n1. c\n2. d\n\n2. e\n"),
        (". a\n+\n----\nb <1>\n----\n<1> c\n. d\n", "1. a\n\nb <1>\n\n1. c\n\n2. d\n"),
        ("----\na <.>\nb <.>\n----\n<.> c\n<.> d\n", "a <.>\nb <.>\n\n1. c\n2. d\n"),
        ("[start=4]\n. d\n. e\n", "4. d\n5. e\n"),
        ("7. g\n8. h\n", "7. g\n8. h\n"),
        ("1. a\n1. b\n", "1. a\n2. b\n"),
        # A number at the start of a line of a paragraph is not that of an entry.
        ("It was in\n1984. Then\nfoo:: bar\n", "It was in 1984. Then foo:: bar\n"),
    ],
)
def test_numbers_of_lists(source: str, text: str) -> None:
    assert converted(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("[source,yaml]\na:\n- b\n\nc\n", "a:\n- b\n\nc\n"),
        ("[source]\n--\na\n\nb\n--\nc\n", "a\n\nb\n\nc\n"),
        ("```c++\nint x;\n```\n\nafter it\n", "int x;\n\nafter it\n"),
        ("  a:\n  - b\n", "  a:\n  - b\n"),
        ("[stem]\n++++\nx = y\n++++\n", "x = y\n"),
        ("[verse, Ann, Sea]\n____\na\nb\n____\n", "a\nb\n\n— Ann, Sea\n"),
        ("[quote, Ann]\n____\na\n\nb\n____\nc\n", "a\n\nb\n\n— Ann\n\nc\n"),
        ("[NOTE]\n====\nIt is.\n\nMore.\n====\n", "Note: It is.\n\nMore.\n"),
        ("[quote, Ann]\na\n\nb\n", "a\n\n— Ann\n\nb\n"),
        ("[NOTE]\n====\n* a\n====\n\nb\n", "Note:\n\n- a\n\nb\n"),
        ("[NOTE]\n====\n====\n\nb\n", "Note:\n\nb\n"),
        ("[TIP]\n.A\n====\n----\nb\n----\n====\nc\n", "A\n\nTip:\n\nb\n\nc\n"),
        ("a::\n\n== H\n\nb::\n\n.T\n----\nc\n----\n", "a\n\n## H\n\nb\n\nT\n\nc\n"),
        # Titles with a line below them, and with marks on both sides.
        ("git-add(1)\n==========\n\nNAME\n----\nadds\n\n== Two ==\n", "# git-add(1)\n\n## NAME\n\nadds\n\n## Two\n"),
        # Inserted files and conditions, wherever they stand.
        ("a\ninclude::x y.adoc[]\nb\n\n----\ninclude::c.java[tag=d]\ne\n----\n", "a b\n\ne\n"),
        ("= T\nifdef::x[]\n:a: 1\nendif::[]\n\n{a} \nifndef::y[two]\n\\include::z[]\n", "# T\n\n1 two include::z[]\n"),
        (":a: long \\\n  value\n:B: c\n\n{a} {b} {B}\n", "long value c c\n"),
        (":a: 1\n:!a:\n\n{a}{counter:n}{counter:n}{counter2:n}{counter:n}\n", "{a}124\n"),
    ],
)
def test_blocks_as_they_are_written(source: str, text: str) -> None:
    assert converted(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("`+*x*+` `+{a}+` `+__b__+` +++*y*+++", "*x* {a} __b__ *y*"),
        ("\\*a* \\`b` \\{c} \\<<d>> \\https://e.f C:\\_g", "*a* `b` {c} <<d>> https://e.f C:\\_g"),
        (":c: 1\n\n\\{c} {c}", "{c} 1"),
        ("`*args, **kw` `_private` `#id`", "*args, **kw _private #id"),
        ("stem:[x^2+y^2] latexmath:[a_1^2]", "x^2+y^2 a_1^2"),
        ("{lt}a{gt}{nbsp}b{plus}{empty}{startsb}c{endsb}", "<a> b+[c]"),
        ("[[[pp]]] A [[[cc,1]]] B [[x]]C", "[pp] A [1] B C"),
        ("a footnote:x[First] b footnote:x[]", "a (First) b"),
        ("* 5 +\n3", "- 5 3"),
        ("10^6^ +10+^6^ 30^2^", "10⁶ 10⁶ 30²"),
    ],
)
def test_text_that_looks_like_markup(source: str, text: str) -> None:
    assert converted(source).text == f"{text}\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("|===\n|Chad|5|a\n|1|2|3\n|===\n", "Chad | 5 | a\n1 | 2 | 3\n"),
        ("|===\n2+|wide |b\n|1 |2 |3\n|===\n", "wide | wide | b\n1 | 2 | 3\n"),
        ("|===\n|a \\| b |c +\nd\n|===\n", "a | b | c d\n"),
        (',===\na,"b\nc"\n,===\n', "a | b c\n"),
        ("[%header,format=csv,separator=;]\n|===\na;b\n1;2\n|===\n", "a | b\n1 | 2\n"),
        ("[format=dsv]\n|===\na:b\n|===\n", "a | b\n"),
        ("[format=tsv]\n|===\na\tb\n|===\n", "a | b\n"),
        ("[separator=¦]\n|===\n¦a | b ¦c\n|===\n", "a | b | c\n"),
        ('[cols="1,1"]\n[#id]\n|===\n|a\n|b\n|===\n', "a | b\n"),
        ("[%header,cols=1;2]\n|===\n|a\n|b\n|===\n", "a | b\n"),
        ('[cols="2"]\n|===\n|a\n|b\n|===\n', "a | b\n"),
        ("[cols=2*,options=header]\n|===\n|a\n// no\n|b\n|===\n", "a | b\n"),
        (
            '[cols="1,1a"]\n|===\n|x\n|\n* one\n* two\n\n[source]\n----\nc\n----\n|y a| NOTE: z\n|===\n',
            "x | - one - two c\ny | Note: z\n",
        ),
        ("|===\na|\n!===\n!b !c\n!===\n|===\n", "b | c\n"),
    ],
)
def test_cells_and_columns(source: str, text: str) -> None:
    assert converted(source).text == text


@pytest.mark.parametrize(
    "source", ["image::" + "[" * 100_000, "include::" + "[" * 100_000, "|===\n|a " + "1" * 50_000 + "|x\n|===\n"]
)
def test_a_long_line_takes_linear_time(source: str) -> None:
    began = time.monotonic()
    converted(source)
    assert time.monotonic() - began < 5


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
