"""DOCX: list entries and headings keep the numbers that a page shows."""

from __future__ import annotations

import pytest

from retrieval.conversion.convert import convert_here
from retrieval.conversion.docx.number_formats import formatted
from tests.support.docx_files import docx_bytes, paragraph


def level(number: int, text: str, format_: str = "decimal", start: int = 1, more: str = "") -> str:
    return (
        f"<w:lvl w:ilvl='{number}'><w:start w:val='{start}'/><w:numFmt w:val='{format_}'/>{more}"
        f"<w:lvlText w:val='{text}'/></w:lvl>"
    )


def num(id_: int, abstract: int, more: str = "") -> str:
    return f"<w:num w:numId='{id_}'><w:abstractNumId w:val='{abstract}'/>{more}</w:num>"


def abstract(id_: int, *levels: str) -> str:
    return f"<w:abstractNum w:abstractNumId='{id_}'>{''.join(levels)}</w:abstractNum>"


def entry(text: str, num_id: int, ilvl: int = 0) -> str:
    return paragraph(text, f"<w:numPr><w:ilvl w:val='{ilvl}'/><w:numId w:val='{num_id}'/></w:numPr>")


def numbered(num_id: str) -> str:
    return f"<w:pPr><w:numPr><w:numId w:val='{num_id}'/></w:numPr></w:pPr>"


def style(id_: str, name: str, more: str) -> str:
    return f"<w:style w:type='paragraph' w:styleId='{id_}'><w:name w:val='{name}'/>{more}</w:style>"


def lines(body: str, numbering: str, styles: str = "") -> list[str]:
    text = convert_here(docx_bytes(body, numbering=numbering, styles=styles), ".docx", "a.docx").text
    return [line.strip().removeprefix("- ") for line in text.splitlines() if line]


OUTLINE = abstract(0, level(0, "%1."), level(1, "%1.%2"), level(2, "(%3)", "lowerLetter"))


def test_several_levels_count_and_restart() -> None:
    body = "".join(entry(f"e{n}", 1, at) for n, at in enumerate((0, 1, 1, 2, 2, 0, 1, 2)))
    assert lines(body, OUTLINE + num(1, 0)) == [
        *("1. e0", "1.1 e1", "1.2 e2", "(a) e3", "(b) e4", "2. e5", "2.1 e6", "(a) e7"),
    ]


def test_a_list_goes_on_after_other_text_and_may_start_elsewhere() -> None:
    body = entry("a", 1) + paragraph("between") + entry("b", 1) + entry("c", 2) + entry("d", 2) + entry("e", 3)
    start = "<w:lvlOverride w:ilvl='0'><w:startOverride w:val='{}'/></w:lvlOverride>"
    numbering = OUTLINE + num(1, 0) + num(2, 0, start.format(1)) + num(3, 1) + abstract(1, level(0, "%1)", start=7))
    assert lines(body, numbering) == ["1. a", "between", "2. b", "1. c", "2. d", "7) e"]


def test_lists_of_one_definition_go_on_and_an_override_may_replace_a_level() -> None:
    own = f"<w:lvlOverride w:ilvl='0'>{level(0, 'Step %1:', 'upperRoman', start=4)}</w:lvlOverride>"
    body = entry("a", 1) + entry("b", 2) + entry("c", 3)
    numbering = OUTLINE + num(1, 0) + num(2, 0) + abstract(1, level(0, "%1.")) + num(3, 1, own)
    assert lines(body, numbering) == ["1. a", "2. b", "Step IV: c"]


def test_an_inner_entry_without_an_outer_one_and_levels_that_do_not_restart() -> None:
    keeps = abstract(0, level(0, "%1."), level(1, "%2)", more="<w:lvlRestart w:val='0'/>"))
    body = entry("a", 1, 1) + entry("b", 1) + entry("c", 1, 1)
    assert lines(body, keeps + num(1, 0)) == ["1) a", "2. b", "2) c"]
    assert lines(entry("a", 1, 1), OUTLINE + num(1, 0)) == ["1.1 a"]


def test_legal_numbers_and_bullets() -> None:
    legal = abstract(0, level(0, "Article %1", "upperRoman"), level(1, "%1.%2", more="<w:isLgl/>"))
    bullets = abstract(1, level(0, "\uf0b7", "bullet"), level(1, "o", "bullet"))
    body = entry("a", 1) + entry("b", 1, 1) + entry("c", 2) + entry("d", 2, 1)
    text = convert_here(docx_bytes(body, numbering=legal + bullets + num(1, 0) + num(2, 1)), ".docx", "a.docx").text
    assert [line.lstrip("- ") for line in text.splitlines()] == ["Article I a", "1.1 b", "c", "d"]
    assert text.endswith("- c\n  - d\n")


def test_numbers_of_styles_and_headings() -> None:
    styles = (
        style("H1", "heading 1", numbered("1"))
        + style("H2", "heading 2", "<w:basedOn w:val='H1'/>")
        + style("Steps", "List Number", numbered("2"))
    )
    chapters = abstract(
        0, level(0, "%1", more="<w:pStyle w:val='H1'/>"), level(1, "%1.%2", more="<w:pStyle w:val='H2'/>")
    )
    link = "<w:abstractNum w:abstractNumId='2'><w:numStyleLink w:val='S'/></w:abstractNum>"
    linked = f"<w:abstractNum w:abstractNumId='1'><w:styleLink w:val='S'/>{level(0, '%1.')}</w:abstractNum>"
    body = "".join(
        paragraph(text, f"<w:pStyle w:val='{style}'/>{more}")
        for text, style, more in (
            ("Scope", "H1", ""),
            ("Who", "H2", ""),
            ("What", "H2", ""),
            ("one", "Steps", ""),
            ("two", "Steps", ""),
            ("plain", "Steps", "<w:numPr><w:numId w:val='0'/></w:numPr>"),
            ("Fees", "H1", ""),
            ("How", "H2", ""),
        )
    )
    assert lines(body, chapters + linked + link + num(1, 0) + num(2, 2), styles) == [
        *("# 1 Scope", "## 1.1 Who", "## 1.2 What", "1. one", "2. two", "plain", "# 2 Fees", "## 2.1 How"),
    ]


def test_deleted_and_hidden_entries_are_not_counted() -> None:
    properties = "<w:numPr><w:ilvl w:val='0'/><w:numId w:val='1'/></w:numPr><w:rPr><w:{}/></w:rPr>"
    gone = f"<w:p><w:pPr>{properties.format('del')}</w:pPr><w:del><w:r><w:delText>b</w:delText></w:r></w:del></w:p>"
    body = entry("a", 1) + gone + entry("c", 1)
    assert lines(body, OUTLINE + num(1, 0)) == ["1. a", "2. c"]


@pytest.mark.parametrize(
    ("count", "number_format", "label"),
    [
        *((1, "lowerLetter", "a"), (27, "upperLetter", "AA"), (53, "lowerLetter", "aaa"), (0, "lowerLetter", "0")),
        *((4, "lowerRoman", "iv"), (1999, "upperRoman", "MCMXCIX"), (10**9, "lowerRoman", "1000000000")),
        *((7, "decimalZero", "07"), (12, "ordinal", "12th"), (22, "ordinal", "22nd"), (3, "none", "")),
        *(
            (21, "chineseCounting", "二十一"),
            (10, "japaneseCounting", "十"),
            (3, "russianLower", "в"),
            (5, "other", "5"),
        ),
    ],
)
def test_formats_of_numbers(count: int, number_format: str, label: str) -> None:
    assert formatted(count, number_format) == label
