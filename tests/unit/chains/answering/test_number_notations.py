"""One value in two notations is cited and supported, and another value is not."""

from __future__ import annotations

import pytest

from chains import cite
from chains.answering.support import check_support
from retrieval import Passage

SAME = [
    ("The route is 5 km long.", "The route is 5km long."),
    ("The route is 5km long.", "The route is 5 km long."),
    ("The route is 1.5 km long.", "The route is 1.5km long."),
    ("The tank holds 20 kWh.", "The tank holds 20kWh."),
    ("The limit is 30 mph.", "The limit is 30mph."),
    ("The disk has 12 TB.", "The disk has 12TB."),
    ("The hall holds 1,000 people.", "The hall holds 1000 people."),
    ("The hall holds 1000 people.", "The hall holds 1\u202f000 people."),
    ("The hall holds 1000 people.", "The hall holds 1\u00a0000 people."),
    ("The hall holds 1000 people.", "The hall holds 1\u2009000 people."),
    ("The hall holds 12000 people.", "The hall holds 12 000 people."),
    ("The hall holds 1000 people.", "The hall holds 1'000 people."),
    ("The hall holds 1000000 people.", "The hall holds 1.000.000 people."),
    ("Der Saal fasst 1000 Personen.", "Der Saal fasst 1.000 Personen und ist sehr schön."),
    ("Der Saal fasst 1.000 Personen.", "Der Saal fasst 1.000 Personen und ist sehr schön."),
    ("The queue has 9 desks.", "The queue has ９ desks."),
    ("The queue has 15 desks.", "The queue has ١٥ desks."),
    ("The queue has 15 desks.", "The queue has १५ desks."),
    ("दूरी 15 किमी है।", "दूरी १५किमी है।"),
    ("المسافة 1000 متر.", "المسافة ١٬٠٠٠ متر."),
    ("It opens at 9 am on weekdays.", "It opens at 9am on weekdays."),
    ("It opens at 9 am on weekdays.", "It opens at 9 a.m. on weekdays."),
    ("It opens at 9 a.m. on weekdays.", "It opens at 9 AM on weekdays."),
    ("It opens at 9am.", "It opens at 9 a.m. every day."),
    ("It opens at 9:00 am on weekdays.", "It opens at 9 am on weekdays."),
    ("The rate is 5 percent.", "The rate is 5% today."),
    ("The rate is 5 per cent.", "The rate is 5 % today."),
    ("It takes 1.5 hours.", "It takes 1½ hours."),
]
OTHER = [
    ("The plate is 15 mm thick.", "The plate is 1.5 mm thick."),
    ("The plate is 1500 mm thick.", "The plate is 1.5 mm thick."),
    ("The route is 6 km long.", "The route is 5km long."),
    ("The hall holds 1000 people.", "The hall holds 100 people."),
    ("The queue has 16 desks.", "The queue has ١٥ desks."),
    ("It opens at 9 am on weekdays.", "It opens at 9 p.m. on weekdays."),
    ("It takes 11 hours.", "It takes 1½ hours."),
    ("It takes 102 seconds.", "It takes 10² seconds and more."),
    ("They sold 2024100 cards.", "They sold 2024 100 cards."),
]


def passage(text: str) -> Passage:
    return Passage("p1", "d", "", "", text, 0, len(text), None)


@pytest.mark.parametrize(("answer", "text"), SAME)
def test_the_same_value_is_cited_and_supported(answer: str, text: str) -> None:
    [found] = cite(answer, [passage(text)])
    assert (found.sentence, found.quote, found.start, found.end) == (answer, text, 0, len(text))
    support = check_support(answer, [passage(text)])
    assert (support.supported, support.reasons) == (True, ())


@pytest.mark.parametrize(("answer", "text"), OTHER)
def test_another_value_is_not(answer: str, text: str) -> None:
    assert cite(answer, [passage(text)]) == []
    assert not check_support(answer, [passage(text)]).supported


def test_a_point_in_english_is_a_decimal_point() -> None:
    assert cite("The plate of the door is 1000 mm thick.", [passage("The plate of the door is 1.000 mm thick.")]) == []


def test_a_figure_before_the_unit_of_a_range_has_that_unit() -> None:
    assert check_support("It is 5 km away.", [passage("It is 5 to 10 km away.")]).supported
    assert not check_support("It is 5 metres away.", [passage("It is 5 to 10 km away.")]).supported
