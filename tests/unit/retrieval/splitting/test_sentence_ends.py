"""A sentence does not end at an abbreviation, an initial, an ordinal or an omission, and it does end elsewhere."""

from __future__ import annotations

import pytest

from retrieval.splitting.sentences import sentence_spans, sentences_by_line
from tests.support.effort import effort

# Each is one sentence.
WHOLE = [
    "Bring some proof, e.g. Passport or licence.",
    "The fee, i.e. EUR 30, is due at once.",
    "It takes approx. 5 days (ca. 40 hours).",
    "See No. 5 and Nos. 6 and 7 of the list.",
    "Dr. Smith and Mr. Jones met Mrs. Brown and Ms. White.",
    "Prof. Dr. Weber and Rev. King spoke to Gen. Lee.",
    "The shop is in St. James Street, next to Mt. Royal Station.",
    "Martin Luther King Jr. Boulevard is closed.",
    "Apple Inc. Chairman and Acme Corp. Board agreed with Foo Ltd. Sales.",
    "The U.S. Government and the U.K. Parliament agreed.",
    "The company is from Washington, D.C. Metro area.",
    "It opens at 9 a.m. on weekdays.",
    "It opens at 9 a.m. Monday to Friday.",
    "It opens at 9 a.m. 5 days a week.",
    "It is open from 8 a.m. until 5 p.m. every day.",
    "The book is by J. Smith and J. R. R. Tolkien.",
    "The book is by J.R.R. Tolkien.",
    "George W. Bush met M. Dupont.",
    "The rate is 1.5 percent, or 2.75 above 1.000.",
    "See Fig. 3 and Figs. 4 and 5, Eq. 2, Sec. 1.2, pp. 7 and vol. 2, ch. 3.",
    "Der Termin am 3. Mai fällt aus.",
    "Der Termin ist der 24. Dezember um 10 Uhr.",
    "Im 19. Jahrhundert gab es den 1. Weltkrieg nicht.",
    "Am 2. Tag und zum 1. Mal.",
    "Man braucht z. B. Papier, d. h. Blätter, u. a. Karton.",
    "Man braucht z.B. Papier, d.h. Blätter, bzw. Karton.",
    "Siehe Abb. 3, Nr. 5, Abs. 2, S. 12 und Kap. Einleitung.",
    "Frau Dr. med. Weber und Hr. Meier wohnen in der Hauptstr. 5.",
    "The old ... New rules apply.",
    "The rules [...] Apply to all.",
    "He said (...) Nothing more.",
    "It costs 5 euros… and more.",
    "See Smith et al. (2010) and cf. Jones vs. Miller.",
    "It closes on Dec. 24 and Jan. 1.",
    "She has a Ph.D. in physics.",
    "Она живёт на ул. Ленина, т.е. в центре.",
    "Приходите в 9 ч. утра.",
    "Vgl. Art. 5 der Verordnung.",
    "Call tel. 0330 555 0142 or ext. 12.",
    "J. Smith wrote it.",
    "Yahoo! is a company.",
]
# Each is two sentences, cut after the mark ‖.
TWO = [
    "The answer is no.‖ We do not open.",
    "It opens at 9 a.m.‖ The door is on the left.",
    "It opens at 9 a.m.‖ Parking is free.",
    "He lives in the U.S.‖ The law is strict.",
    "He works at Apple Inc.‖ The firm is large.",
    "This is plan B.‖ The other one is plan C.",
    "We sell pens, ink, etc.‖ Paper is sold elsewhere.",
    "It costs 1.5.‖ The rest is free.",
    "There are 3.‖ They are red.",
    "It was in 1999.‖ May was warm that year.",
    "Wait...‖ Then it rang.",
    "Really?!‖ Yes.",
    "Take the first turn, then go to Main St.‖ The shop is there.",
    "So do I.‖ It is nice.",
    "Er kommt am 3. Mai.‖ Dann geht er.",
    "Es dauert 3 Tage.‖ Danach ist es fertig.",
    "He said “No.”‖ She left.",
    "ठंडा पानी है।‖ गरम नहीं।",
    "هل هو مفتوح؟‖ نعم.",
    "یہ کتاب ہے۔‖ وہ قلم ہے۔",
    "ឆ្មាស៊ីត្រី។‖ឆ្កែដេក។",
    "ရေပူသည်။‖လေအေးသည်။",
    "年费是八十元。‖手续费另收。",
    "The art.‖ The music.",
    "It is the model's.‖ Half of it is kept.",
    "We don't.‖ Children may.",
    "Send images (PNG, JPEG, ...).‖ Send no films.",
    "Close the sec.‖ Open it.",
]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize("text", WHOLE)
def test_a_sentence_is_whole(text: str) -> None:
    assert sentences(text) == [text]
    assert sentences(f"{text} Next one.") == [text, "Next one."]


@pytest.mark.parametrize("marked", TWO)
def test_a_sentence_ends(marked: str) -> None:
    first, second = marked.split("‖")
    assert sentences(first + second) == [first, second.strip()]
    assert [(first + second)[start:end] for start, end in sentences_by_line(first + second)] == [first, second.strip()]


def test_an_abbreviation_at_the_end_of_a_paragraph_ends_its_sentence() -> None:
    assert sentences("It was made by Acme Inc.\n\nPaper is sold elsewhere.") == [
        "It was made by Acme Inc.",
        "Paper is sold elsewhere.",
    ]


@pytest.mark.parametrize("piece", ["e.g. ", "A. ", "1. ", "... ", "(", "U.S.", ". ", "No. ", "z. B. ", "[...] "])
def test_time_is_linear(piece: str) -> None:
    def reading(count: int) -> float:
        return effort(lambda: sentences_by_line(piece * count))

    assert reading(40_000) < 50 * min(reading(4_000) for _ in range(3)) + 4
