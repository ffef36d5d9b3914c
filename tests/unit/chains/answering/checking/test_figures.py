"""Numbers are compared by value and unit, however they are written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.answering.checking.figures import Figure, find_figures
from chains.answering.checking.statements import normalised
from tests.support.effort import effort


def only(text: str) -> Figure:
    [figure] = find_figures(unicodedata.normalize("NFKC", text))
    return figure


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("EUR 35", "35 euros"),
        ("£1,200", "1200 pounds"),
        ("£10k", "10,000 pounds"),
        ("two weeks", "14 days"),
        ("24 hours", "one day"),
        ("twelve months", "1 year"),
        ("three working days", "3 business days"),
        ("90%", "90 percent"),
        ("half an hour", "30 minutes"),
        ("3pm", "15:00"),
        ("3.30pm", "15:30"),
        ("noon", "12:00"),
        ("1 April 2025", "April 1st, 2025"),
        ("1 April 2025", "2025-04-01"),
        ("form LB-62", "LB62"),
        ("0330 555 0142", "03305550142"),
        ("two hundred and fifty", "250"),
        ("the 3rd", "third"),
        ("the 1,000th", "the 1000th"),
        ("三十天", "30 days"),
        ("两周", "14天"),
        ("三个工作日", "3 working days"),
        ("下午5点", "17:00"),
        ("百分之二十", "20%"),
        ("1.5万元", "15000元"),
        ("2025年4月1日", "1 April 2025"),
        ("3000元", "三千元"),
        ("5 °F", "5 degrees Fahrenheit"),
        ("5 °C", "5 degrees"),
    ],
)
def test_two_notations_of_a_value_are_equal(one: str, other: str) -> None:
    assert only(one).equals(only(other))
    assert only(other).equals(only(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("30 days", "30 minutes"),
        ("5 days", "5 working days"),
        ("EUR 35", "£35"),
        ("5 °C", "5 °F"),
        ("30 days", "31 days"),
        ("3am", "15:00"),
        ("1 April", "1 May"),
        ("1 April 2024", "1 April 2025"),
        ("LB-62", "LB-26"),
        ("12 files", "12 days"),
        ("Monday", "Tuesday"),
        ("second", "third"),
        ("三天", "三个月"),
        ("5元", "0.5元"),
    ],
)
def test_other_values_and_units_are_not_equal(one: str, other: str) -> None:
    assert not only(one).equals(only(other))


@pytest.mark.parametrize("text", ["3月{}日", "{}月3日", "第{}天", "{}½ hours", "£{}", "{} weeks", "{}万元", "百分之{}"])
def test_a_number_of_very_many_digits_is_read(text: str) -> None:
    """A hostile document has one, or a question; no answer may fail because of it."""
    for digits in (400, 5000):
        find_figures(normalised(text.format("9" * digits)))


@pytest.mark.parametrize("piece", ["9", "1,", "三", "1 ", "£1", "1/", "第1", "三点", "1年", "12 ", "a1-"])
def test_many_figures_take_linear_time(piece: str) -> None:
    # With a search for each character, or a comparison of all pairs, it is a thousand.
    assert effort(lambda: find_figures(piece * 4_000)) < 80


PARTS = (
    *("1", "12", "1,000", "1.000", "1.5.2", "9999999999", "٣", "१२", "½", "²", "①", "2024", "-13", "K7"),
    *("st", "nd", "th", "am", "pm", ":", ".", ",", "-", "/", "(", ")", "£", "$", "€", "%", "°F", "km", "hours"),
    *(
        "per day",
        "half an hour",
        "once a week",
        "May",
        "March",
        "Monday",
        "to",
        "the",
        "a",
        "twenty",
        "-one",
        "hundred",
    ),
    *(
        "第",
        "三",
        "十",
        "百",
        "万",
        "半",
        "两",
        "点",
        "分",
        "年",
        "月",
        "日",
        "周",
        "天",
        "元",
        "千克",
        "百分之",
        "下午",
        "至",
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=12), st.booleans())
def test_any_text_is_read(parts: list[str], spaced: bool) -> None:
    text = normalised((" " if spaced else "").join(parts))
    for figure in find_figures(text):
        assert text[figure.start : figure.end].strip() == figure.raw


@pytest.mark.parametrize("text", ["version 1.5.2th", "the 12.5th", "1,5,2nd", "1.000.5st"])
def test_an_ordinal_that_is_no_whole_number_is_read(text: str) -> None:
    find_figures(normalised(text))


def test_a_range_shares_its_unit() -> None:
    assert [sorted(figure.values) for figure in find_figures("20 to 30 minutes")] == [[1200], [1800]]


def test_a_range_of_weekdays_has_the_days_between() -> None:
    assert only("Monday to Friday").values == {1, 2, 3, 4, 5}
    assert only("周一至周五").equals(only("周三"))


def test_a_number_without_unit_may_be_one_with_a_unit() -> None:
    # The unit can stand in the header of a table.
    assert only("It is 5.").equals(only("5 days"))


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("up to 12 files", "at most"),
        ("no more than 12 files", "at most"),
        ("within 12 days", "at most"),
        ("18 or over", "at least"),
        ("not earlier than 12 days", "at least"),
        ("more than 12 files", "at least"),
        ("12 files", None),
        ("不超过12天", "at most"),
        ("至少12天", "at least"),
    ],
)
def test_limits(text: str, bound: str | None) -> None:
    assert only(text).bound == bound


def test_before_and_after_belong_to_the_number() -> None:
    assert only("2 hours before the visit").order == "before"
    assert only("2 hours after the visit").order == "after"


@pytest.mark.parametrize(
    "text", ["one of our best rates", "May I come?", "every holder agreed once all signed", "一般来说"]
)
def test_words_that_are_no_numbers(text: str) -> None:
    assert find_figures(text) == []
