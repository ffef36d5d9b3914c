"""HTML lists: numbers as a browser shows them, bullets, and definitions."""

from __future__ import annotations

import pytest

from retrieval.conversion.convert import convert_here


def read(html: str) -> str:
    return convert_here(f"<meta charset=utf-8><main>{html}</main>".encode(), ".html", "page.html").text.rstrip("\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ol><li>a<li>b<li>c</ol>", "1. a\n2. b\n3. c"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
        ("<ol start=-1><li>a<li>b</ol>", "-1. a\n0. b"),
        ("<ol><li>a<li value=7>b<li>c</ol>", "1. a\n7. b\n8. c"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c"),
        ("<ol reversed start=10><li>a<li>b</ol>", "10. a\n9. b"),
        ("<ol type=a start=25><li>a<li>b<li>c</ol>", "y. a\nz. b\naa. c"),
        ("<ol type=A><li>a<li type=1>b</ol>", "A. a\n2. b"),
        ("<ol type=i start=4><li>a<li>b</ol>", "iv. a\nv. b"),
        ("<ol type=I start=1999><li>a</ol>", "MCMXCIX. a"),
        ("<ol type=i start=0><li>a</ol>", "0. a"),
        ("<ol style='list-style-type: lower-alpha'><li>x</ol>", "a. x"),
        ("<ol style='list-style:none'><li>x</ol>", "- x"),
        ("<ol start=99999999999999999999><li>x</ol>", "1. x"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<menu><li>a</menu>", "- a"),
        (
            "<ol><li>a<ol type=a><li>x<li>y</ol><li>b<ul><li>z</ul>more</ol>",
            "1. a\n  a. x\n  b. y\n2. b\n  - z\n  more",
        ),
        ("<ol><li><p>a</p><p>b</p><li>c<br>d</ol>", "1. a\n  b\n2. c\n  d"),
        ("<ol><li><h3>Open</h3><p>the box</ol>", "### 1. Open\n\n  the box"),
        ("<ol><li>a</ol><p>Then:</p><ol start=2><li>b</ol>", "1. a\n\nThen:\n\n2. b"),
        ("<ol><li>a</ol><ol><li>b</ol>", "1. a\n\n1. b"),
        ("<ol><li>Run:<pre>  a\n    b</pre>then</ol>", "1. Run:\n\n  a\n    b\n\n  then"),
        ("<ol><li><pre>a\n b</pre><li>c</ol>", "1.\na\n b\n\n2. c"),
        ("<div><li>a<li>b</div>", "- a\n- b"),
    ],
)
def test_lists(html: str, text: str) -> None:
    assert read(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<dl><dt>Fee<dd>2 euros<dt>Time<dd>3 days</dl>", "Fee: 2 euros\nTime: 3 days"),
        ("<dl><dt>A<dt>B<dd>both</dl>", "A, B: both"),
        ("<dl><dt>Fee<dd>2 euros<dd>free for members</dl>", "Fee: 2 euros\nFee: free for members"),
        ("<dl><dt>Fee:<dd>2<dt>Why?<dd>So.</dl>", "Fee: 2\nWhy? So."),
        ("<dl><div><dt>A<dd>1</div><div><dt>B<dd>2</div></dl>", "A: 1\nB: 2"),
        ("<dl><dt>A<dd><p>one</p><p>two</p></dl>", "A: one\ntwo"),
        ("<dl><dt>A<dd><ul><li>x</ul></dl>", "A:\n- x"),
        ("<dl><dt>Alone</dl>", "Alone"),
        ("<dl><dt>A<dd><dl><dt>B<dd>c</dl></dl>", "A:\nB: c"),
        ("<p>x<dl><dt>A<dd>1</dl><p>y", "x\n\nA: 1\n\ny"),
    ],
)
def test_definitions(html: str, text: str) -> None:
    assert read(html) == text
