"""The text of HTML pages: words, lines, raised numbers, controls, and images."""

from __future__ import annotations

import pytest

from retrieval.conversion.convert import convert_here


def read(html: str) -> str:
    return convert_here(f"<meta charset=utf-8><main>{html}</main>".encode(), ".html", "page.html").text.rstrip("\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        # Exponents.
        ("10<sup>6</sup> bricks", "10⁶ bricks"),
        ("10<sup> 6 </sup>5", "10⁶ 5"),
        ("10<sup>-6</sup>", "10⁻⁶"),
        ("10<sup><b>6</b></sup>", "10⁶"),
        ("<b>10</b><sup>6</sup>", "10⁶"),
        ("2<sup>1.5</sup>", "2^(1.5)"),
        ("10<sup>2n</sup> and 2<sup>n</sup>", "10^(2n) and 2^n"),
        ("25 m<sup>2</sup> or km<sup>2</sup>, 3 in<sup>3</sup>, x<sup>2</sup>", "25 m² or km², 3 in³, x²"),
        ("a<sup>2</sup>+b<sup>2</sup> (R<sup>2</sup>), 10⁶", "a²+b² (R²), 10⁶"),
        ("10<span style='vertical-align: super'>6</span>", "10⁶"),
        # Marks of notes.
        ("30<sup><a href='#x'>2</a></sup> days", "30[2] days"),
        ("30<a href='#x'><sup>2</sup></a> days", "30[2] days"),
        ("30<sup class='footnote-ref'>2</sup> days", "30[2] days"),
        ("30<sup role='doc-noteref'>2</sup> days", "30[2] days"),
        ("30<a href='#fn2'>2</a> days", "30[2] days"),
        ("30<a href='#_ftn1'>[1]</a> days", "30[1] days"),
        ("30<sup>2</sup> days<p><sup>2</sup> Not for gifts.", "30[2] days\n\n[2] Not for gifts."),
        ("30<sup>2)</sup> days", "30[2] days"),
        ("10<sup>6</sup><sup>2</sup>", "10⁶[2]"),
        ("goods<sup>3</sup>, all.<sup>4</sup> (see it)<sup>5</sup>", "goods[3], all.[4] (see it)[5]"),
        ("goods<sup>1,&nbsp;2</sup>", "goods[1, 2]"),
        ("goods<sup><a href='#a'>a</a></sup>", "goods[a]"),
        ("cite<sup><a href='#c'>[7]</a></sup>", "cite[7]"),
        ("goods<sup><a href='#1'>1</a><a href='#2'>2</a></sup>", "goods[1 2]"),
        ("1<sup><a href='/x'>st</a></sup>", "1st"),
        # Lowered numbers, and fractions.
        ("H<sub>2</sub>O, log<sub>10</sub>100", "H₂O, log₁₀ 100"),
        ("3<sup>1</sup>/<sub>2</sub> cups, <sup>3</sup>&frasl;<sub>4</sub>", "3 1/2 cups, 3/4"),
        # Other raised text.
        ("1<sup>st</sup> and 2<sup>e</sup>, Acme<sup>TM</sup>, price<sup>*</sup>", "1st and 2e, AcmeTM, price*"),
        ("a<sub>n</sub>", "a_n"),
        ("<table><tr><td>30<sup>2</sup><td>10<sub>4</sub></table>", "30² | 10_4"),
    ],
)
def test_raised_and_lowered_numbers(html: str, text: str) -> None:
    assert read(f"<div>{html}</div>") == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<b>Sun</b>day and <i>Mon</i><u>day</u>", "Sunday and Monday"),
        ("<span>Sun</span>\n<span>day</span>", "Sun day"),
        ("<span>Sun</span><span>day</span> Sun<!-- -->day", "Sunday Sunday"),
        ("<a href=/a>Cash</a><a href=/b>Card</a>, <a href=/s>Sun</a>day", "Cash Card, Sunday"),
        ("one<br>two<br/><br>three", "one\ntwo\nthree"),
        ("5&nbsp;000 Donau&shy;dampf&#8203;schiff<wbr>fahrt", "5 000 Donaudampfschifffahrt"),
        ("a<div>b</div>c<p>d</p>e", "a\n\nb\n\nc\n\nd\n\ne"),
        ("<a><span style='display:block'>a</span><span style='display: block'>b</span></a>", "a\n\nb"),
        ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc"),
        ("<pre><code>a <b>b</b>\n\tc</code></pre>", "a b\n\tc"),
        ("<pre>a<br>b</pre>", "a\nb"),
        ("<details><summary>Refunds</summary>In 5 days.</details>", "Refunds\n\nIn 5 days."),
        ("<q>Yes</q>, she said", "“Yes”, she said"),
        ("Costs <del>20</del> <ins>15</ins> euros", "Costs 15 euros"),
        ("Costs <s>20</s> 15 euros", "Costs 15 euros"),
        ("<ruby>東京<rp>(</rp><rt>とうきょう</rt><rp>)</rp></ruby>へ", "東京(とうきょう)へ"),
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>", "漢字(かんじ)"),
        ("<h2>a<br>b</h2>c", "## a b\n\nc"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_words_and_lines(html: str, text: str) -> None:
    assert read(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<label>Name <input value='Ann'></label>", "Name Ann"),
        ("Sun<input type=hidden value=x>day", "Sunday"),
        ("<label>Name</label><input value='Ann'><button>Go</button><button>Stop</button>", "Name Ann Go Stop"),
        ("<input type=hidden value=x><input type=password value=y>a<input placeholder=b>", "a"),
        ("<input type=checkbox checked> Yes <input type=radio> No", "[x] Yes [ ] No"),
        ("<input type=submit value='Send it'>", "Send it"),
        ("Size<select><option>S<option selected>M<option>L</select>only", "Size S, M (selected), L only"),
        (
            "<select><optgroup label=Tops><option>Shirt<option>Vest</optgroup><option>Hat</select>",
            "Tops: Shirt, Vest, Hat",
        ),
        ("<textarea>one\ntwo</textarea>", "one\ntwo"),
        ("<fieldset><legend>Pay</legend>by card</fieldset>", "Pay\n\nby card"),
        ("<meter value=1>1 of 3</meter>", "1 of 3"),
    ],
)
def test_form_controls(html: str, text: str) -> None:
    assert read(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Press<img alt='Start'>now", "Press Start now"),
        (
            "<figure><img src=a alt='Fees by year'><figcaption>Figure 1</figcaption></figure>",
            "Fees by year\n\nFigure 1",
        ),
        ("<figure><img alt='Figure 1'><figcaption>Figure 1</figcaption></figure>", "Figure 1"),
        ("<img alt='O'>nce", "Once"),
        ("a<img alt=''>b", "ab"),
        ("a <img alt='Phone icon' width=16> <img alt=IMG_1234.jpg> <img alt=logo> <img role=presentation alt=x1>", "a"),
        ("<svg role=img aria-label='Fees rise'><text>x</text></svg>", "Fees rise"),
        ("a<svg><title>icon</title></svg>", "a"),
    ],
)
def test_images(html: str, text: str) -> None:
    assert read(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<math alttext='{\\displaystyle x^{2}}'><mi>x</mi></math>", "x^{2}"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup></math>", "10^6"),
        ("<math><msub><mi>x</mi><mn>1</mn></msub><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", "x_1=1/2"),
        ("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mi>b</mi></mfrac></math>", "(a+1)/b"),
        ("<math><mn>3</mn><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", "3 1/2"),
        ("<math><msqrt><mn>2</mn></msqrt></math>", "√(2)"),
        (
            "<span class=katex><span class=katex-mathml><math><semantics><mrow><mi>x</mi></mrow>"
            "<annotation encoding='application/x-tex'>x^2</annotation></semantics></math></span>"
            "<span class=katex-html aria-hidden=true>x2</span></span>",
            "x^2",
        ),
    ],
)
def test_formulas(html: str, text: str) -> None:
    assert read(f"<p>{html}") == text


@pytest.mark.parametrize(
    "piece", ["<sup>", "<ruby><rt>", "<q>", "<dl><dd>", "<ol><li>", "<math><msqrt>", "<nav><div>", "<table><td>"]
)
def test_deep_nesting_needs_no_stack(piece: str) -> None:
    assert "x" in read(piece * 3000 + "x")
