"""Text scores: as SQuAD's own script counts, and Chinese by character."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import contains_answer, exact_match, normalise, token_f1


def squad_normalise(text: str) -> str:
    """The published evaluation script's `normalize_answer`."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_f1(prediction: str, truth: str) -> float:
    """The published evaluation script's `f1_score`, with the second version's rule for empty answers."""
    ours, theirs = squad_normalise(prediction).split(), squad_normalise(truth).split()
    same = sum((Counter(ours) & Counter(theirs)).values())
    if not ours or not theirs:
        return float(ours == theirs)
    if same == 0:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


ASCII = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + "  \n", max_size=30)
WORDS = st.lists(st.sampled_from(["the", "A", "an", "fee", "fees", "is", "12", "$12.", "re-use", "x"]), max_size=6)
REPLY = st.one_of(ASCII, WORDS.map(" ".join))


@given(REPLY)
def test_english_is_normalised_as_squad_does(text: str) -> None:
    assert " ".join(normalise(text)) == squad_normalise(text)


@given(REPLY, REPLY)
def test_english_is_scored_as_squad_does(reply: str, reference: str) -> None:
    assert token_f1(reply, [reference]) == pytest.approx(squad_f1(reply, reference))
    assert exact_match(reply, [reference]) == float(squad_normalise(reply) == squad_normalise(reference))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Denver Broncos!", ["denver", "broncos"]),
        ("Santa Clara, California.", ["santa", "clara", "california"]),
        ("a “quoted” – word…", ["quoted", "word"]),
        ("$1,250.00", ["125000"]),
        ("theatre another", ["theatre", "another"]),
        ("年费是80元。", ["年", "费", "是", "80", "元"]),
        ("《卡》ATM费", ["卡", "atm", "费"]),
        ("カード", ["カ", "ー", "ド"]),
        ("पानी, ठंडा है।", ["पानी", "ठंडा", "है"]),
        ("கிளி", ["கிளி"]),
        ("هَذَا كِتَـابٌ؟", ["هذا", "كتاب"]),
        ("שָׁלוֹם", ["שלום"]),
        ("re\u00aduse می\u200cرود", ["reuse", "میرود"]),
        ("กินน้ำ", ["กิ", "น", "น้ํ", "า"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),
        ("Ａ９ ١٥ १५", ["a9", "15", "15"]),
        ("10² and 1½", ["10²", "and", "1½"]),
        ("", []),
        (" .,! ", []),
    ],
)
def test_normalise(text: str, tokens: list[str]) -> None:
    assert normalise(text) == tokens


@pytest.mark.parametrize(
    ("reply", "references", "score"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1.0),
        ("the Denver Broncos", ["Denver Broncos", "Carolina"], 1.0),
        ("cat sat", ["the cat sat down"], 0.8),
        ("no idea", ["Denver Broncos"], 0.0),
        ("fee fee fee", ["fee"], 0.5),
        ("年费80元", ["年费是80元"], 8 / 9),
        ("", ["Denver"], 0.0),
        ("", [""], 1.0),
        ("Denver", [], 0.0),
    ],
)
def test_token_f1(reply: str, references: list[str], score: float) -> None:
    assert token_f1(reply, references) == pytest.approx(score)


@pytest.mark.parametrize(
    ("reply", "answers", "found"),
    [
        ("You have 120 days.", ["120 days"], 1.0),
        ("You have 1120 days.", ["120 days"], 0.0),
        ("It is 120 whole days", ["120 days"], 0.0),
        ("It opens at Nine.", ["ten", "nine"], 1.0),
        ("年费是80元。", ["80元"], 1.0),
        ("年费是180元。", ["80元"], 0.0),
        ("anything", ["", "."], 0.0),
        ("anything", [], 0.0),
        ("", ["12"], 0.0),
    ],
)
def test_an_answer_is_matched_as_whole_tokens(reply: str, answers: list[str], found: float) -> None:
    assert contains_answer(reply, answers) == found


@given(REPLY, st.lists(REPLY, max_size=3))
def test_scores_are_shares(reply: str, references: list[str]) -> None:
    for score in (token_f1(reply, references), exact_match(reply, references), contains_answer(reply, references)):
        assert 0 <= score <= 1
    assert token_f1(reply, [*references, reply]) == 1
