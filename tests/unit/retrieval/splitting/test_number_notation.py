"""Numbers and units in one notation: what is equal, and what must stay different."""

from __future__ import annotations

import pytest

from retrieval.splitting.numbers import comparable, joined, writes_decimal_comma
from tests.support.effort import effort


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("5km", "5 km"),
        ("1.5km", "1.5 km"),
        ("20kWh and 5GB", "20 kWh and 5 GB"),
        ("5км", "5 км"),
        ("१५किमी", "15 किमी"),
        ("1,000", "1000"),
        ("1,000,000.50", "1000000.50"),
        ("12,34,567", "1234567"),
        ("1\u00a0000", "1000"),
        ("1\u2009000\u2009000", "1000000"),
        ("1\u202f000,5", "1000,5"),
        ("1 000 people", "1000 people"),
        ("12 500 000", "12500000"),
        ("1’000", "1000"),
        ("1.000.000", "1000000"),
        ("1.000,50", "1000.50"),
        ("９", "9"),
        ("１，０００", "1000"),
        ("١٥", "15"),
        ("١٬٠٠٠٫٥", "1000.5"),
        ("१५", "15"),
        ("9am", "9am"),
        ("9 AM", "9am"),
        ("9 a.m.", "9am"),
        ("9:00 a. m. today", "9am today"),
        ("9.30 p.m", "9.30pm"),
        ("5%", "5 percent"),
        ("5 per cent of it", "5 percent of it"),
        ("1½ hours", "1.5 hours"),
        ("¾", "0.75"),
        ("1000½ and 2 ½", "1000.5 and 2.5"),
        ("1.5½", "1.5 0.5"),
        # More digits than a number of Python may have, or a float can hold.
        ("9" * 400 + "½", "9" * 400 + " 0.5"),
        ("9" * 5000 + " ½", "9" * 5000 + " 0.5"),
    ],
)
def test_notations_become_one(written: str, form: str) -> None:
    assert comparable(written).split() == form.split()


@pytest.mark.parametrize(
    "text",
    [
        "1.5",
        "1.000",
        "1,5",
        "1,50",
        "1,0000",
        "in 2024 100 people",
        "room 12 345",
        "phone 020 000 000",
        "0800 000 000",
        "the 2nd and 3rd of the 1990s",
        "A5km and 5G and 3D",
        "10, 20, 300",
        "10²",
        "5 amps",
        "9 pmol",
        "version 1.2.3",
        "2024-05-01",
        "12:30",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert comparable(text) == text


def test_a_point_groups_thousands_in_a_text_with_decimal_commas_alone() -> None:
    german = "Der Saal fasst 1.000 Personen und ist 2,5 km von der Stadt entfernt."
    assert writes_decimal_comma(german)
    assert not writes_decimal_comma("The plate is 1.000 mm thick and 2.5 m long.")
    assert not writes_decimal_comma("")
    assert comparable(german, decimal_comma=True).startswith("Der Saal fasst 1000 Personen und ist 2.5 km")
    assert comparable("1.5 and 1.50 and 10,000", decimal_comma=True) == "1.5 and 1.50 and 10000"


def test_joining_leaves_what_the_check_reads_itself() -> None:
    assert joined("1\u00a0000 and 1,000 and 5km at 9 a.m.") == "1000 and 1,000 and 5km at 9 a.m."


@pytest.mark.parametrize(
    "piece", ["1", "1,000", "1.000", "1 000 ", "123 ", "1\u00a0000", "1.1.", "5km", "9 a.", "1½", "1'"]
)
def test_time_is_linear(piece: str) -> None:
    def reading(count: int) -> float:
        return effort(lambda: comparable(piece * count, decimal_comma=True))

    assert reading(20_000) < 50 * min(reading(2_000) for _ in range(3)) + 4
