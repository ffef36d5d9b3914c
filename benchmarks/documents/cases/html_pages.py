"""HTML pages: what is around, inside and hidden in their text."""

from __future__ import annotations

from typing import Any

from benchmarks.documents.case import Case

_NAVIGATION = """<nav><ul><li><a href="/">Startpage</a></li><li><a href="/shop">Storefront</a></li></ul></nav>"""
_COOKIES = """<div id="cookie-banner" class="cookie-consent" role="dialog" aria-label="Cookies">
<p>We value your privacy and use trackers.</p><button>Accept everything</button></div>"""


def page(body: str, head: str = '<meta charset="utf-8"><title>Help</title>') -> bytes:
    """A page with a body."""
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head><body>{body}</body></html>".encode()


def html_case(name: str, body: str, text: str, **expected: Any) -> Case:
    """A case from the body of a page. The page's title may be read or not."""
    optional = f"Help {expected.pop('optional', '')}"
    return Case(f"html/{name}", ".html", lambda: page(body), text, optional=optional, **expected)


CASES = (
    html_case(
        "headings and paragraphs",
        "<h1>Card fees</h1><p>Cash abroad costs 2.99 percent.</p><h2>Replacement</h2><p>A new card costs 12 euros.</p>"
        "<h3>Express <em>service</em></h3><p>It takes 2 days.</p>",
        "Card fees\nCash abroad costs 2.99 percent.\nReplacement\nA new card costs 12 euros.\nExpress service\n"
        "It takes 2 days.",
        headings=((1, "Card fees"), (2, "Replacement"), (3, "Express service")),
    ),
    html_case(
        "navigation and cookie banner",
        f"{_COOKIES}<header>{_NAVIGATION}</header><main><h1>Opening hours</h1><p>The branch opens at 9:30 and closes "
        f"at "
        "17:00 on working days.</p><p>On Saturdays it closes at 12:15.</p></main><footer>Imprint Copyright</footer>",
        "Opening hours\nThe branch opens at 9:30 and closes at 17:00 on working days.\nOn Saturdays it closes at "
        "12:15.",
        forbidden=("Startpage", "Storefront", "trackers", "Accept everything"),
        optional="Imprint Copyright",
        headings=((1, "Opening hours"),),
    ),
    html_case(
        "an article between sidebars",
        f"{_NAVIGATION}<aside><p>Related: mortgage calculator.</p></aside><article><h1>Lost card</h1><p>Call us at "
        f"once, "
        "day or night, and have your account number ready.</p><p>We block the card within 5 minutes.</p></article>",
        "Lost card\nCall us at once, day or night, and have your account number ready.\nWe block the card within 5 "
        "minutes.",
        forbidden=("Startpage", "Storefront"),
        optional="Related: mortgage calculator.",
        headings=((1, "Lost card"),),
    ),
    html_case(
        "hidden text",
        '<p>The fee is 4 euros.</p><p hidden>The fee was 88 euros.</p><div style="display: none">secret draft</div>'
        '<p style="color:red;visibility:hidden">ghost line</p><p>It is due in March.</p>',
        "The fee is 4 euros.\nIt is due in March.",
        forbidden=("88", "secret draft", "ghost line"),
    ),
    html_case(
        "script, style, template and noscript",
        "<style>.a{width:77px}</style><script>var price = 123;</script><p>The price is 45 euros.</p>"
        "<template><p>Hello 999</p></template><noscript>Switch scripts on.</noscript>",
        "The price is 45 euros.",
        forbidden=("77px", "var price", "123", "999"),
        optional="Switch scripts on.",
    ),
    html_case(
        "comments",
        "<p>Ask for <!-- the old rate of 17 percent --> the new rate of 16 percent.</p><!-- <p>Draft 55</p> -->",
        "Ask for the new rate of 16 percent.",
        forbidden=("17", "55", "Draft"),
    ),
    html_case(
        "entities",
        "<p>Fees &amp; charges: 3&nbsp;&euro; &lt; 5&#8364;, &frac12; price, caf&eacute; &#x263A; &copy; 2024</p>",
        "Fees & charges: 3 € < 5€, ½ price, café ☺ © 2024",
    ),
    html_case(
        "marks inside words and numbers",
        "<p>un<b>believ</b>able, 1<b>2</b>5 euros, <i>Q</i>1 and <span>2</span><span>4</span> hours, "
        "Donau<wbr>dampf&shy;schiff</p>",
        "unbelievable, 125 euros, Q1 and 24 hours, Donaudampfschiff",
        forbidden=("un believ",),
    ),
    html_case(
        "superscript and subscript",
        "<p>The flat has 30<sup>2</sup> metres, 10<sup>6</sup> people drink H<sub>2</sub>O, and x<sub>1</sub> is 7."
        "<sup>3</sup></p>",
        "The flat has 30 ² metres, 10 ⁶ people drink H₂O, and x₁ is 7. ³",
        forbidden=("302", "106", "7.3"),
    ),
    html_case(
        "line breaks",
        "<p>Bank of Norland<br>Main Street 12<br/>1010 Vienna</p><div>Phone<br><br>555 01 99</div>",
        "Bank of Norland\nMain Street 12\n1010 Vienna\nPhone\n555 01 99",
        forbidden=("121010", "Norland1010", "NorlandMain", "Phone555"),
    ),
    html_case(
        "blocks without white space",
        "<div>One<div>two</div>three</div><section>four</section><p>five<p>six",
        "One two three four five six",
        forbidden=("Onetwo", "twothree", "fourfive"),
    ),
    html_case(
        "text outside paragraphs",
        "Loose start. <h2>Middle</h2> Loose middle <b>bold</b> text. <ul><li>entry</li></ul> Loose end.",
        "Loose start.\nMiddle\nLoose middle bold text.\nentry\nLoose end.",
        headings=((2, "Middle"),),
    ),
    html_case(
        "details and summary",
        "<details><summary>How long does it take?</summary><p>It takes 3 days.</p></details>"
        "<details open><summary>Who pays?</summary>The bank pays.</details>",
        "How long does it take?\nIt takes 3 days.\nWho pays?\nThe bank pays.",
    ),
    html_case(
        "ruby",
        "<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt><rp>)</rp></ruby>を読む。</p>",
        "漢字を読む。",
        optional="( ) か ん じ",
    ),
    html_case(
        "right to left",
        "<div dir='rtl'><h1>عمولة البطاقة</h1><p>رسوم السحب هي 25 درهما في الخارج.</p><p>שלום לכולם, העמלה היא 14 "
        "שקל.</p></div>",
        "عمولة البطاقة\nرسوم السحب هي 25 درهما في الخارج.\nשלום לכולם, העמלה היא 14 שקל.",
        headings=((1, "عمولة البطاقة"),),
    ),
    html_case(
        "Chinese",
        "<h1>银行卡费用</h1><p>境外取现收取<b>2.99%</b>的手续费。</p><p>补办新卡需要\n七个工作日。</p>",
        "银行卡费用\n境外取现收取2.99%的手续费。\n补办新卡需要七个工作日。",
        headings=((1, "银行卡费用"),),
    ),
    html_case(
        "form fields",
        "<form><label>Country <select><option>Austria</option><option selected>Norway</option></select></label>"
        "<label>Notes <textarea>Call before 8</textarea></label><button>Send off</button></form><p>Thank you.</p>",
        "Country Norway\nNotes Call before 8\nThank you.",
        optional="Austria Send off",
    ),
    html_case(
        "figure with caption",
        "<figure><img src='a.png' alt='A silver card'><figcaption>Figure 4: the new card</figcaption></figure>"
        "<p>It is made of steel.</p>",
        "Figure 4: the new card\nIt is made of steel.",
        optional="A silver card a png",
    ),
    html_case(
        "deleted and inserted text",
        "<p>The limit is <del>500</del> <ins>650</ins> euros per day.</p><p><s>Valid until 2019.</s> Valid until "
        "2027.</p>",
        "The limit is 650 euros per day.\nValid until 2027.",
        forbidden=("500", "2019"),
    ),
    html_case(
        "drawing and frame",
        "<svg><title>Logo</title><text>Path 66</text></svg><iframe src='x.html'>No frames</iframe><p>The end is "
        "near.</p>",
        "The end is near.",
        optional="Logo Path 66 No frames",
    ),
    html_case(
        "emphasis characters in text",
        "<p>Write snake_case_name, 2 * 3 * 4, #tag, [x] and C:\\dir &mdash; 1. not a list.</p>",
        "Write snake_case_name, 2 * 3 * 4, #tag, [x] and C:\\dir — 1. not a list.",
        headings=(),
    ),
    html_case(
        "custom elements and unclosed tags",
        "<my-card><my-title>Gold account</my-title><p>From <b>19 euros <i>a month</b> on.</i></my-card><p>Cheap",
        "Gold account\nFrom 19 euros a month on.\nCheap",
    ),
)
