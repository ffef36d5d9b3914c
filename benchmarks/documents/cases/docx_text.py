"""DOCX: running text, with the elements that Word wraps around it."""

from __future__ import annotations

from typing import Any

from benchmarks.documents.building.docx_package import BY, docx, par, run
from benchmarks.documents.case import Case


def docx_case(name: str, body: str, text: str, *, parts: dict[str, str] | None = None, **expected: Any) -> Case:
    """A case from the body of a document; `parts` are the arguments of `docx`."""
    return Case(f"docx/{name}", ".docx", lambda: docx(body, **(parts or {})), text, **expected)


def _field(code: str, result: str) -> str:
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    return (
        mark.format("begin")
        + f'<w:r><w:instrText xml:space="preserve"> {code} </w:instrText></w:r>'
        + mark.format("separate")
        + run(result)
        + mark.format("end")
    )


def _box(text: str) -> str:
    inner = f"<w:txbxContent>{par(text)}</w:txbxContent>"
    return (
        '<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wp:inline><wp:extent cx="9" cy="9"/>'
        '<wp:docPr id="1" name="Box"/><a:graphic><a:graphicData '
        'uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">'
        f"<wps:wsp><wps:txbx>{inner}</wps:txbx><wps:bodyPr/></wps:wsp></a:graphicData></a:graphic></wp:inline></w:drawing>"
        f"</mc:Choice><mc:Fallback><w:pict><v:shape><v:textbox>{inner}</v:textbox></v:shape></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )


_SEPARATORS = (
    '<w:{0} w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:{0}>'
    '<w:{0} w:type="continuationSeparator" w:id="0"><w:p><w:r><w:continuationSeparator/></w:r></w:p></w:{0}>'
)


def _notes(kind: str, *texts: str) -> str:
    notes = "".join(
        f'<w:{kind} w:id="{number}"><w:p><w:pPr><w:pStyle w:val="FootnoteText"/></w:pPr><w:r><w:{kind}Ref/></w:r>'
        f"{run(f' {text}')}</w:p></w:{kind}>"
        for number, text in enumerate(texts, start=1)
    )
    return _SEPARATORS.format(kind) + notes


_FRACTION = (
    "<m:oMath><m:r><m:t>x=</m:t></m:r><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>20</m:t></m:r></m:den>"
    "</m:f></m:oMath>"
)
_POWER = (
    "<m:oMathPara><m:oMath><m:sSup><m:e><m:r><m:t>30</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>"
    "<m:r><m:t>=900</m:t></m:r></m:oMath></m:oMathPara>"
)

CASES = (
    docx_case(
        "paragraphs",
        par("Cash withdrawals abroad cost 2.99 percent.") + par("A new card costs 12 euros."),
        "Cash withdrawals abroad cost 2.99 percent.\nA new card costs 12 euros.",
    ),
    docx_case(
        "runs that split words",
        par(run("un", "<w:b/>") + run("believ") + run("able, 1") + run("2", "<w:i/>") + run("5 euros")),
        "unbelievable, 125 euros",
    ),
    docx_case(
        "content control around paragraphs",
        par("Before.")
        + f"<w:sdt><w:sdtPr/><w:sdtContent>{par('Inside stands 41.')}</w:sdtContent></w:sdt>"
        + par("After."),
        "Before.\nInside stands 41.\nAfter.",
    ),
    docx_case(
        "content control in a paragraph",
        par(run("The customer ") + f"<w:sdt><w:sdtContent>{run('Ann Berg')}</w:sdtContent></w:sdt>" + run(" pays 30.")),
        "The customer Ann Berg pays 30.",
    ),
    docx_case(
        "choice and checkbox controls",
        par(
            run("Paid: ")
            + '<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val="1"/></w14:checkbox></w:sdtPr><w:sdtContent>'
            + f"{run('☒')}</w:sdtContent></w:sdt>"
            + run(" yes, by ")
            + '<w:sdt><w:sdtPr><w:dropDownList><w:listItem w:displayText="cheque" w:value="1"/><w:listItem '
            + f'w:displayText="transfer" w:value="2"/></w:dropDownList></w:sdtPr><w:sdtContent>{run("transfer")}'
            + "</w:sdtContent></w:sdt>"
        ),
        "Paid: ☒ yes, by transfer",
        forbidden=("cheque",),
    ),
    docx_case(
        "tracked insertion",
        par(run("The fee is ") + f"<w:ins {BY}>{run('exactly ')}</w:ins>" + run("9 euros.")),
        "The fee is exactly 9 euros.",
    ),
    docx_case(
        "tracked deletion",
        par(
            run("The fee is ")
            + f'<w:del {BY}><w:r><w:delText xml:space="preserve">88 </w:delText></w:r></w:del>'
            + f"<w:ins {BY}>{run('77 ')}</w:ins>"
            + run("euros.")
        ),
        "The fee is 77 euros.",
        forbidden=("88", "8877"),
    ),
    docx_case(
        "tracked move",
        par(f"<w:moveFrom {BY}>{run('Call the bank first. ')}</w:moveFrom>" + run("Block the card."))
        + par(run("Then wait. ") + f"<w:moveTo {BY}>{run('Call the bank first.')}</w:moveTo>"),
        "Block the card.\nThen wait. Call the bank first.",
    ),
    docx_case(
        "deleted paragraph",
        par("Kept line.") + f"<w:p><w:pPr><w:rPr><w:del {BY}/></w:rPr></w:pPr><w:del {BY}><w:r><w:delText>Gone for "
        f"good.</w:delText></w:r>"
        "</w:del></w:p>" + par("Last line."),
        "Kept line.\nLast line.",
        forbidden=("Gone for good",),
    ),
    docx_case(
        "smart tags",
        par(
            run("Visit ")
            + '<w:smartTag w:uri="urn:schemas-microsoft-com:office:smarttags" w:element="City">'
            + f"{run('Salzburg')}</w:smartTag>"
            + run(" in May.")
        ),
        "Visit Salzburg in May.",
    ),
    docx_case(
        "hyperlinks",
        par(run("See ") + f'<w:hyperlink r:id="rId9">{run("our terms")}</w:hyperlink>' + run(" of 2024.")),
        "See our terms of 2024.",
        optional="https example org",
    ),
    docx_case(
        "complex fields",
        par(
            run("As shown in ")
            + _field("REF _Ref123 \\h", "Table 4")
            + run(", the rate is ")
            + _field("=2*3", "6")
            + run(".")
        ),
        "As shown in Table 4, the rate is 6.",
        forbidden=("REF", "_Ref123"),
    ),
    docx_case(
        "simple field",
        par(run("Printed on ") + f'<w:fldSimple w:instr=" DATE ">{run("5 May 2023")}</w:fldSimple>' + run(" in Bern.")),
        "Printed on 5 May 2023 in Bern.",
        forbidden=("DATE",),
    ),
    docx_case(
        "table of contents",
        par(_field('TOC \\o "1-3"', "Fees") + "<w:r><w:tab/></w:r>" + run("3")) + par("Fees", "Heading1") + par("Low."),
        "Fees 3\nFees\nLow.",
        headings=((1, "Fees"),),
        forbidden=("TOC",),
    ),
    docx_case(
        "text box",
        par(run("Text beside a box.") + _box("Note: 24 hours.")) + par("Text below."),
        "Text beside a box.\nNote: 24 hours.\nText below.",
    ),
    docx_case(
        "formula with a fraction",
        par(run("The rate is ") + _FRACTION + run(" per year.")),
        "The rate is x=a+b 20 per year.",
        optional="frac over",
        forbidden=("b20",),
    ),
    docx_case(
        "formula with a power",
        par("Look at this:") + par(_POWER) + par("That is all."),
        "Look at this:\n30 ² = 900\nThat is all.",
        forbidden=("302",),
    ),
    docx_case(
        "superscript and subscript",
        par(
            run("The field has 30")
            + run("2", '<w:vertAlign w:val="superscript"/>')
            + run(" metres of H")
            + run("2", '<w:vertAlign w:val="subscript"/>')
            + run("O.")
        ),
        "The field has 30 ² metres of H₂O.",
        forbidden=("302",),
    ),
    docx_case(
        "footnotes",
        par(run("The fee is 15") + '<w:r><w:footnoteReference w:id="1"/></w:r>' + run(" euros.")) + par("Next."),
        "The fee is 15 euros.\nNext.\nOnly for new customers.",
        parts={"footnotes": _notes("footnote", "Only for new customers.")},
        optional="1",
        forbidden=("151",),
    ),
    docx_case(
        "endnotes",
        par(run("See the law") + '<w:r><w:endnoteReference w:id="1"/></w:r>' + run(".")) + par("Next."),
        "See the law.\nNext.\nBanking Act, section 14.",
        parts={"endnotes": _notes("endnote", "Banking Act, section 14.")},
        optional="1 i",
    ),
    docx_case(
        "header and footer",
        par("The body counts 3 words."),
        "The body counts 3 words.",
        parts={"header": par("Bank of Norland"), "footer": par(run("Page ") + _field("PAGE", "1"))},
        optional="Bank of Norland Page 1",
        forbidden=("PAGE",),
    ),
    docx_case(
        "hidden text",
        par(run("The price is ") + run("999 ", "<w:vanish/>") + run("10 euros."))
        + par(run("Internal note", "<w:vanish/>")),
        "The price is 10 euros.",
        forbidden=("999", "Internal note"),
    ),
    docx_case(
        "tabs and breaks",
        par("<w:r><w:t>Name</w:t><w:tab/><w:t>Ann</w:t><w:br/><w:t>Age</w:t><w:tab/><w:t>44</w:t></w:r>"),
        "Name Ann\nAge 44",
        forbidden=("NameAnn", "AnnAge", "Age44"),
    ),
    docx_case(
        "special hyphens and symbols",
        par(
            "<w:r><w:t>non</w:t><w:noBreakHyphen/><w:t>cash, Donau</w:t><w:softHyphen/><w:t>schiff</w:t></w:r>"
            '<w:r><w:t xml:space="preserve"> costs 5 </w:t><w:sym w:font="Symbol" w:char="F0A3"/><w:t '
            'xml:space="preserve"> 6</w:t></w:r>'
        ),
        "non-cash, Donauschiff costs 5 ≤ 6",
        forbidden=("noncash",),
    ),
    docx_case(
        "comments",
        par(
            '<w:commentRangeStart w:id="0"/>' + run("The term is 2 years.") + '<w:commentRangeEnd w:id="0"/>'
            '<w:r><w:commentReference w:id="0"/></w:r>'
        ),
        "The term is 2 years.",
        parts={"comments": f'<w:comment w:id="0" w:author="A">{par("Check this with Bob")}</w:comment>'},
        optional="Check this with Bob A",
    ),
    docx_case(
        "page break in a sentence",
        par(
            run("It goes ")
            + '<w:r><w:br w:type="page"/></w:r><w:r><w:lastRenderedPageBreak/></w:r>'
            + run("on and on.")
        ),
        "It goes on and on.",
    ),
    docx_case(
        "right to left and Chinese",
        par(run("رسوم السحب 25 درهما", "<w:rtl/>"), properties="<w:bidi/>") + par("境外取现收取三元。"),
        "رسوم السحب 25 درهما\n境外取现收取三元。",
    ),
)
