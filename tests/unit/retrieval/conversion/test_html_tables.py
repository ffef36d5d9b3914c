"""HTML tables: cells stay under their columns."""

from __future__ import annotations

import pytest

from retrieval.conversion.convert import convert_here
from tests.support.effort import effort


def read(html: str) -> str:
    return convert_here(f'<meta charset="utf-8"><main>{html}</main>'.encode(), ".html", "page.html").text.rstrip("\n")


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            "<tr><th>Region<th>Product<th>Units<tr><td rowspan=2>EU<td>Cable<td>12<tr><td>Hub<td>7",
            "Region | Product | Units\nEU | Cable | 12\nEU | Hub | 7",
        ),
        (
            "<tr><th colspan=2>Opening<th>Price<tr><td>from 9<td>to 17<td>3 euros",
            "Opening | Opening | Price\nfrom 9 | to 17 | 3 euros",
        ),
        (
            "<thead><tr><th rowspan=2>Plan<th colspan=2>Price<tr><th>Month<th>Year<tbody><tr><td>Gold<td>2<td>20",
            "Plan | Price | Price\nPlan | Month | Year\nGold | 2 | 20",
        ),
        # In the last column, and together with a column span.
        (
            "<tr><td>a<td>b<td rowspan=3>c<tr><td colspan=2>d<tr><td>e<td>f",
            "a | b | c\nd | d | c\ne | f | c",
        ),
        ("<tr><td rowspan=2 colspan=2>x<td>1<tr><td>2<tr><td>3<td>4<td>5", "x | x | 1\nx | x | 2\n3 | 4 | 5"),
        # 0 rows: to the end of the group. No span leaves its group.
        (
            "<tbody><tr><td rowspan=0>x<td>1<tr><td>2<tbody><tr><td>y<td>3",
            "x | 1\nx | 2\ny | 3",
        ),
        ("<thead><tr><th rowspan=9>H<th>I<tbody><tr><td>1<td>2", "H | I\n1 | 2"),
        # Beyond the columns that there are, over all of them.
        ("<tr><th colspan=99>Fees 2030<tr><td>a<td>b", "Fees 2030\n\na | b"),
        ("<tr><td>a<td>b<tr><td colspan=2>for both<tr><td>c<td>d", "a | b\nfor both\nc | d"),
        ("<tr><td colspan=junk>a<td rowspan=-2>b<td colspan=0>c", "a | b | c"),
        # Empty cells keep the others in place.
        ("<tr><th>A<th>B<th>C<tr><td>1<td><td>3", "A | B | C\n1 |  | 3"),
        ("<tr><td rowspan=2>a<td>b<tr></tr><tr><td>c<td>d", "a | b\nc | d"),
        # The foot is shown last.
        ("<tfoot><tr><td>sum<td>3<tbody><tr><td>a<td>3", "a | 3\nsum | 3"),
    ],
)
def test_a_cell_stands_under_every_column_and_row_that_it_covers(rows: str, text: str) -> None:
    assert read(f"<table>{rows}</table>") == text


def test_captions_and_tables_that_follow_each_other() -> None:
    html = "<table><caption>Fees</caption><tr><th>A<tr><td>1</table><table><tr><td>x<td>y</table>after"
    assert read(html) == "Fees\n\nA\n1\n\nx | y\n\nafter"


def test_blocks_in_a_cell_do_not_run_into_each_other() -> None:
    assert read("<table><tr><td><div>Mon</div>9<div>to</div>5<td>a<br>b<td><b>Sun</b>day</table>") == (
        "Mon 9 to 5 | a b | Sunday"
    )
    assert read(
        "<table><tr><th>Size<th>Step<tr><td><ul><li>S<li>M</ul><td><ol start=2><li>Go<li>Stop</ol></table>"
    ) == ("Size | Step\nS; M | 2. Go; 3. Stop")


def test_definitions_in_a_cell() -> None:
    assert read("<table><tr><td><dl><dt>A<dd>1<dt>B:<dd>2</dl><td>x</table>") == "A: 1; B: 2 | x"


def test_nested_tables_keep_their_text() -> None:
    layout = "<table><tr><td><h2>News</h2><p>One.<p>Two.<td><table><tr><td>a<td>b</table></table>"
    assert read(layout) == "## News\n\nOne.\n\nTwo.\n\na | b"
    data = "<table><tr><th>Plan<th>Hours<tr><td>Gold<td><table><tr><td>Mon<td>9<tr><td>Tue<td>10</table></table>"
    assert read(data) == "Plan | Hours\nGold | Mon 9; Tue 10"


def test_hidden_rows_and_cells_take_no_place() -> None:
    html = "<table><tr hidden><td>x<td>y<tr><td style='display:none'>id<td>a<td>b<tr><td>c<td>d</table>"
    assert read(html) == "a | b\nc | d"


@pytest.mark.parametrize(
    "html",
    [
        "<table>" + "<tr><td colspan=10000000 rowspan=99999999999>x" * 3000,
        "<table><tr>" + "<td rowspan=65534>x" * 2000 + "<tr><td>y" * 2000,
        f"<table><tr><td colspan=1000>{'word ' * 2000}"
        + ("<tr>" + "<td>1" * 1000)
        + f"<tr><td>a<td colspan=999>{'word ' * 2000}",
        "<table><tr><th>x" * 3000,
    ],
)
def test_hostile_spans_stay_small(html: str) -> None:
    assert len(read(html)) < 2**20 * 4 + 2 * len(html)
    assert effort(lambda: read(html)) < 200
