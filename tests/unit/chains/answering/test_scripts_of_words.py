"""Citations and support in scripts with vowel marks, with invisible characters, and without spaces."""

from __future__ import annotations

import pytest

from chains import cite
from chains.answering.checking.statements import content_words
from chains.answering.support import check_support
from retrieval import Passage


def passage(text: str) -> Passage:
    return Passage("p1", "d", "", "", text, 0, len(text), None)


# A sentence of a document, the same said with other characters, and another sentence that shares letters with it.
SAID = {
    "Hindi": ("पुस्तकालय सोमवार को बंद रहता है।", "सोमवार को पुस्तकालय बंद रहता है", "पानी सस्ता होने पर दाम बढ़ा।"),
    "Tamil": ("நூலகம் திங்கள் மூடப்படும்.", "திங்கள் நூலகம் மூடப்படும்", "நாள் தோறும் மழை பெய்தது."),
    "Arabic": ("المَكْتَبَةُ مُغْلَقَةٌ يَوْمَ الاثنين.", "المكتبة مغلقة يوم الاثنين", "السيارة كبيرة."),
    "Hebrew": ("הַסִּפְרִיָּה סְגוּרָה בְּיוֹם שני.", "הספריה סגורה ביום שני", "המכונית גדולה."),
    "soft hyphen": ("The li\u00adbrary is shut on Sun\u00addays.", "The library is shut on Sundays", "A car is large."),
    "Thai": ("ห้องสมุดปิดวันจันทร์", "วันจันทร์ห้องสมุดปิด", "แมวกินปลา"),
    "Khmer": ("បណ្ណាល័យបិទថ្ងៃច័ន្ទ", "ថ្ងៃច័ន្ទបណ្ណាល័យបិទ", "ឆ្មាស៊ីត្រី"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_the_evidence_says_is_cited_and_supported(name: str) -> None:
    text, answer, other = SAID[name]
    evidence = passage(f"{other}\n{text}")
    [found] = cite(answer, [evidence])
    assert found.quote == text
    assert evidence.text[found.start : found.end] == text
    assert check_support(answer, [evidence]).supported
    assert cite(answer, [passage(other)]) == []
    assert not check_support(answer, [passage(other)]).supported


def test_content_words_are_whole() -> None:
    assert content_words("हिन्दी किताब") == {"हिन्दी", "किताब"}
    assert content_words("กินปลา") == {"กิ", "น", "ป", "ล", "า", "กิน", "นป", "ปล", "ลา"}
    assert content_words("年费") == {"年", "费", "年费"}
