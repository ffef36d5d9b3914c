"""The evidence is read as sentences, list entries and table rows with their context."""

from __future__ import annotations

from chains.answering.checking.windows import Window, passage_windows


def window_of(text: str, part: str) -> Window:
    return min((w for w in passage_windows("Fees", "Cards", text) if part in w.text), key=lambda w: w.sentences)


def test_a_list_entry_has_its_lead_in_and_heading() -> None:
    window = window_of("The nurse removes stitches as follows:\n- face: five days\n- scalp: eight days", "scalp")
    assert {"scalp", "stitch", "card"} <= window.parts[0]
    assert "face" not in window.parts[0]


def test_a_negative_lead_in_negates_its_entries() -> None:
    window = window_of("We do not pay for:\n- damage by water\n- theft", "water")
    assert [clause.negative for clause in window.clauses] == [True]


def test_a_table_cell_has_its_column_and_its_row() -> None:
    window = window_of("| Year | Limit |\n|---|---|\n| First | £750 |\n| Second | £1,250 |", "1,250")
    [cell] = [clause for clause in window.clauses if "limit" in clause.words]
    assert [figure.raw for segment in cell.segments for figure in segment.figures] == ["£1,250"]
    assert "£750" not in {figure.raw for figure in window.figures}


def test_a_sentence_that_refers_back_has_the_words_of_the_one_before() -> None:
    window = window_of("A freeze stops all payments. It lasts for 14 days.", "14 days")
    assert {"freez", "last"} <= window.parts[0]


def test_a_sentence_that_refers_back_in_its_middle_has_the_words_of_the_one_before() -> None:
    window = window_of("The trial lasts a month. Fees apply after that.", "Fees")
    assert "trial" in window.parts[0]


def test_a_wrapped_sentence_is_one() -> None:
    window = window_of("A replacement card\ncosts 12 euros.", "12 euros")
    assert window.text == "A replacement card costs 12 euros."


def test_an_empty_cell_keeps_the_others_under_their_columns() -> None:
    table = "Plan | Yearly fee | Data\nPlus |  | 50 GB\n| 9 euros | 5 GB\nBasic | 4 euros |"
    for part, column in (("4 euros", "year"), ("9 euros", "year"), ("50 GB", "data")):
        [cell] = [
            c for c in window_of(table, part).clauses if any(part in f.raw for s in c.segments for f in s.figures)
        ]
        assert column in cell.words, part
