"""Raised and lowered text never joins the number before it, in any format and in Unicode's compatibility form."""

from __future__ import annotations

import re
import unicodedata

import pytest

from retrieval.conversion.raised import in_line, lowered, note_mark, raised
from retrieval.markup import without_markup


@pytest.mark.parametrize(
    ("marked", "written"),
    [
        (f"10{raised('6')} bricks", "10^6 bricks"),
        (f"10{raised('-3')} m", "10^-3 m"),
        (f"10{raised('−')}{raised('3')}", "10^−3"),
        (f"2{raised('n')}", "2^n"),
        (f"10{raised('6')}5", "10^6 5"),
        (f"30{raised('2)')} days", "30[2] days"),
        (f"30{raised('1,2')} days", "30[1,2] days"),
        (f"days{raised('2')} later", "days[2] later"),
        (f"days{raised('2')}later", "days[2] later"),
        (f"days.{raised('12')} Then", "days.[12] Then"),
        (f"30.{raised('2')}", "30.[2]"),
        (f"30%{raised('2')}", "30%[2]"),
        (f"30 {raised('2')} days", "30 [2] days"),
        (f"days{raised('a')}", "days[a]"),
        (f"{raised('2')}Not for gifts", "[2] Not for gifts"),
        (f"{raised('2')} Not for gifts", "[2] Not for gifts"),
        (f"days{raised('1')} {raised('2')}", "days[1] [2]"),
        (f"days{raised('1')}(see below)", "days[1] (see below)"),
        (f"20 m{raised('2')} of floor", "20 m² of floor"),
        (f"5 kg/m{raised('3')}", "5 kg/m³"),
        (f"4 s{raised('-1')}", "4 s⁻¹"),
        (f"Ca{raised('2+')}", "Ca²⁺"),
        (f"(1+r){raised('5')}", "(1+r)⁵"),
        (f"the 2{raised('nd')} of May, le 1{raised('er')} mai", "the 2nd of May, le 1er mai"),
        (f"Brand{raised('TM')}", "BrandTM"),
        (f"H{lowered('2')}O and C{lowered('6')}H{lowered('12')}", "H₂O and C₆H₁₂"),
        (f"1010{lowered('2')}", "1010_2"),
        (f"log{lowered('2')}8", "log₂ 8"),
        (f"x{lowered('max')}", "x_max"),
        (f"the {raised('14')}C method", "the ^14C method"),
        (f"2{raised('1')}/{lowered('2')} cups", "2 1/2 cups"),
        (f"2 {raised('3')}⁄{lowered('4')}", "2 3/4"),
        ("within 30² days", "within 30^2 days"),
        ("days² later", "days[2] later"),
        ("² Not for gifts", "[2] Not for gifts"),
        ("20 m² and CO₂", "20 m² and CO₂"),
        ("10⁻⁶", "10^-6"),
        ("2½ hours", "2 1/2 hours"),
        ("½ hour", "½ hour"),
        ("30① and ①30", "30 ① and ① 30"),
        (f"30{note_mark(2)}{note_mark(3)}(see)", "30[2] [3] (see)"),
        ("plain 302", "plain 302"),
    ],
)
def test_the_rule(marked: str, written: str) -> None:
    result = in_line(marked)
    assert result == written
    # What is embedded keeps the marks.
    assert without_markup(result) == result
    # Compatibility forms change no number: each number of the text is one that was printed.
    printed = set(
        re.findall(
            r"\d+",
            re.sub(
                "[\ufdd0-\ufdd3]",
                " ",
                unicodedata.normalize("NFKC", re.sub("(?<=[0-9])(?=[²½①⁻])|(?<=①)", " ", marked)),
            ),
        )
    )
    assert set(re.findall(r"\d+", unicodedata.normalize("NFKC", result))) <= printed


def test_a_number_of_a_known_note_is_a_mark() -> None:
    assert in_line(f"30{raised('2')} days, 10{raised('6')}", {"2", "6"}) == "30[2] days, 10^6"
    assert in_line(f"30{raised('3')} days", {"2"}) == "30^3 days"
