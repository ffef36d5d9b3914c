"""Raised and lowered text never joins the number before it, and Unicode's raised digits stay as they are."""

from __future__ import annotations

import re

import pytest

from retrieval.conversion.raised import in_line, lowered, note_mark, raised
from retrieval.markup import without_markup


@pytest.mark.parametrize(
    ("marked", "written"),
    [
        (f"10{raised('6')} bricks", "10⁶ bricks"),
        (f"10{raised('-3')} m", "10⁻³ m"),
        (f"10{raised('−')}{raised('3')}", "10⁻³"),
        (f"2{raised('n')}", "2^n"),
        (f"10{raised('6')}5", "10⁶ 5"),
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
        # Products and functions take powers.
        (f"E = mc{raised('2')}", "E = mc²"),
        (f"the mc{raised('2')} of physics", "the mc² of physics"),
        (f"V = 4πr{raised('3')}/3", "V = 4πr³/3"),
        (f"y = ab{raised('2')}", "y = ab²"),
        (f"3ab{raised('2')} + 1", "3ab² + 1"),
        (f"sin{raised('2')} x, tanh{raised('-1')} x", "sin² x, tanh⁻¹ x"),
        (f"12 persons km{raised('-2')} year{raised('−1')}", "12 persons km⁻² year⁻¹"),
        (f"G{raised('(0)')}", "G⁽⁰⁾"),
        (f"5 m² m{raised('3')}", "5 m² m³"),
        (f"10⁻{raised('6')}", "10⁻⁶"),
        # Words do not, nor do abbreviations and ordinals.
        (f"see Dr{raised('2')} and vs{raised('2')}", "see Dr[2] and vs[2]"),
        (f"in the EU{raised('2')}", "in the EU[2]"),
        (f"open to all{raised('2')}", "open to all[2]"),
        (f"Price = fee{raised('2')}", "Price = fee[2]"),
        (f"at 5pm{raised('3')}", "at 5pm[3]"),
        (f"on the 4th{raised('2')} of May", "on the 4th[2] of May"),
        (f"το βιβλίο και{raised('2')}", "το βιβλίο και[2]"),
        (f"see the pdf{raised('2')}", "see the pdf[2]"),
        (f"our sins{raised('2')}", "our sins[2]"),
        (f"mc{raised('12')}", "mc[12]"),
        (f"20 m²{raised('3')} of floor", "20 m²[3] of floor"),
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
        ("within 30² days", "within 30² days"),
        ("days² later", "days² later"),
        ("² Not for gifts", "² Not for gifts"),
        ("20 m² and CO₂", "20 m² and CO₂"),
        ("10⁻⁶ and 10⁵", "10⁻⁶ and 10⁵"),
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
    # No digit joins the digits before it.
    assert set(re.findall("[0-9]+", result)) <= set(re.findall("[0-9]+", re.sub("[\ufdd0-\ufdd3½①]", _digits, marked)))


def _digits(character: re.Match[str]) -> str:
    return {"½": " 1/2", "①": " 1 "}.get(character[0], " ")


def test_a_number_of_a_known_note_is_a_mark() -> None:
    assert in_line(f"30{raised('2')} days, 10{raised('6')}", {"2", "6"}) == "30[2] days, 10⁶"
    assert in_line(f"30{raised('3')} days", {"2"}) == "30³ days"
