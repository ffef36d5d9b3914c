"""Words of any script in the keyword search, and that English and Chinese terms are what they always were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import Encoder, ingest, open_index
from retrieval.store.terms import Tokenizer, searchable


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[Tokenizer]:
    opened = Tokenizer()
    yield opened
    opened.close()


def keys(tokenizer: Tokenizer, query: str) -> list[str]:
    return [term.key for term in tokenizer.query_terms(query)]


# A text, a query that has to find it, and a query that must not.
PAIRS = {
    "Hindi": ("हिन्दी की किताबें पुस्तकालय में हैं।", "पुस्तकालय", "पानी"),
    "Hindi, one letter in common": ("पानी ठंडा है", "पानी", "पेन"),
    "Tamil": ("தமிழ் மொழி பழமையானது", "மொழி", "மாடு"),
    "Bengali": ("বাংলা ভাষা মিষ্টি", "ভাষা", "ভূমি"),
    "Telugu": ("తెలుగు భాష అందమైనది", "భాష", "భూమి"),
    "Malayalam": ("മലയാളം ഒരു ഭാഷയാണ്", "ഭാഷയാണ്", "ഭൂമി"),
    "Arabic, vowels in the text": ("هَذَا كِتَابٌ جَدِيدٌ", "كتاب", "كلب"),
    "Arabic, vowels in the query": ("هذا كتاب جديد", "كِتَابٌ", "كَلْبٌ"),
    "Arabic, tatweel": ("هذا كتـــاب جديد", "كتاب", "كلب"),
    "Arabic, superscript alef": ("هذا كتاب", "هٰذا", "هنا"),
    "Arabic, hamza in the text": ("الأسعار في أوروبا", "اوروبا", "افريقيا"),
    "Arabic, hamza in the query": ("الاسعار في اوروبا", "أوروبا", "إفريقيا"),
    "Arabic, hamza below": ("إدارة الشركة", "ادارة", "ادوات"),
    "Arabic, alef with madda": ("آخر موعد", "اخر", "اجر"),
    "Arabic, a mark of hamza": ("الا\u0654سعار", "الاسعار", "الاشعار"),
    "Arabic, alef maqsura": ("مستشفى المدينة", "مستشفي", "مستقبل"),
    "Arabic, ta marbuta": ("المكتبة العامة", "المكتبه", "المكتب"),
    "Persian kaf and ya in the text": ("کتاب فارسی", "كتاب", "كلب"),
    "Persian kaf and ya in the query": ("كتاب فارسي", "فارسی", "فارغ"),
    "Urdu ha": ("ہندوستان کی تاریخ", "هندوستان", "ترکستان"),
    "a power": ("about 10⁵ people", "10^5", "105"),
    "a power in the query": ("about 10^5 people", "10⁵", "105"),
    "Hebrew, vowels in the text": ("שָׁלוֹם לָעוֹלָם", "שלום", "שולחן"),
    "Hebrew, vowels in the query": ("שלום לעולם", "שָׁלוֹם", "שׁוּלְחָן"),
    "Hebrew, one character": ("\ufb2aלום", "שלום", "עולם"),
    "Persian, zero-width non-joiner": ("او می\u200cرود", "میرود", "رفت"),
    "soft hyphen": ("the Donau\u00addampf\u00adschiff is late", "Donaudampfschiff", "Donau"),
    "zero-width joiner": ("an inter\u200dnational call", "international", "inter"),
    "byte order mark": ("a fire\ufeffplace", "fireplace", "fire"),
    "word joiner": ("a fire\u2060place", "fireplace", "fire"),
    "direction mark": ("the fire\u200eplace", "fireplace", "fire"),
    "Thai": ("แมวกินปลาในครัวทุกเช้า", "กินปลา", "สุนัข"),
    "Thai, within a question": ("โรงพยาบาลเปิดเวลาแปดโมงเช้า", "โรงพยาบาลเปิดกี่โมง", "สุนัข"),
    "Thai, one syllable": ("ระวังงูในสวน", "งู", "ปู"),
    "Thai, one syllable within a question": ("ระวังงูในสวน", "งูอยู่ที่ไหน", "หมา"),
    "Lao": ("ແມວກິນປາໃນເຮືອນ", "ກິນປາ", "ໝາ"),
    "Khmer": ("ឆ្មាស៊ីត្រីនៅក្នុងផ្ទះ", "ស៊ីត្រី", "ឆ្កែ"),
    "Khmer, zero-width spaces in the text": ("ឆ្មា\u200bស៊ី\u200bត្រី", "ស៊ីត្រី", "ឆ្កែ"),
    "Burmese": ("ကြောင်က ငါးစားတယ်", "ငါး", "ခွေး"),
    "Burmese, within a question": ("ရေပူရှိသည်", "ရေဘယ်မှာလဲ", "ခွေး"),
    "full-width": ("the code is Ａ１２ｂ", "a12b", "a13b"),
    "half-width kana": ("ｶﾒﾗの修理", "カメラ", "テレビ"),
    "Arabic-Indic digits": ("الغرفة ١٥", "15", "16"),
    "Devanagari digits": ("कमरा १५", "15", "16"),
    "Thai digits": ("ห้อง ๑๕", "15", "16"),
    "ligature": ("the oﬃce", "office", "off"),
    "accent as a mark": ("the cafe\u0301", "café", "caf"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_word_is_found_whole(tokenizer: Tokenizer, name: str) -> None:
    text, query, other = PAIRS[name]
    found = tokenizer.keys(text)
    assert any(term.matches(found) for term in tokenizer.query_terms(query))
    assert not any(term.matches(found) for term in tokenizer.query_terms(other))


def test_a_store_finds_what_the_tokenizer_says(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "docs").mkdir()
    for number, (text, _, _) in enumerate(PAIRS.values()):
        (tmp_path / "docs" / f"{number}.txt").write_text(text, encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder) as index:
        for name, (text, query, _) in PAIRS.items():
            found = [one.passage.text for one in index.search(query, 8, weights=(0.0, 1.0))]
            assert text.strip() in found, name


def test_a_word_of_hindi_is_one_term(tokenizer: Tokenizer) -> None:
    assert keys(tokenizer, "हिन्दी में पानी") == ["हिन्दी", "में", "पानी"]
    assert keys(tokenizer, "कर\u200dता") == ["करता"]


def test_scripts_without_spaces_are_indexed_as_pairs_of_syllables(tokenizer: Tokenizer) -> None:
    assert searchable("กินปลา") == (" ", "กิน กิ นป ปล ลา า")
    assert keys(tokenizer, "กินปลา") == ["กิน", "กิ", "นป", "ปล", "ลา"]


@pytest.mark.parametrize("accent", ["\u00b4", "\u0301", "\u00a8", "\u20dd"])
def test_an_accent_without_its_letter_is_no_word(tokenizer: Tokenizer, accent: str) -> None:
    text = f"a board of 5{accent} ({accent}) for the 门 {accent}"
    assert keys(tokenizer, text) == ["board", "5", "门"]
    assert tokenizer.keys(text) == {"a", "board", "of", "5", "for", "the", "门"}
    assert any(term.matches(tokenizer.keys(text)) for term in tokenizer.query_terms("门"))
    assert keys(tokenizer, accent) == []


def test_english_and_chinese_terms_are_unchanged(tokenizer: Tokenizer) -> None:
    text = "Café fees (e.g. 2.99%) can't exceed €3,000 — see RFC-2119_b, naïve Größe; 年费80元。ＡＢＣ ｶﾞ 서울의 x² ½ ™"
    words, pairs = searchable(text)
    assert words == (
        "Café fees (e.g. 2.99%) can't exceed €3,000 — see RFC-2119_b, naïve Größe;  80 。ABC     x2 1⁄2 TM"
    )
    assert pairs == "年费 费 元 ガ 서울 울의 의"
    expected = [
        *("cafe", "fee", "e", "g", "2", "99", "exce", "3", "000", "see", "rfc", "2119", "b", "naiv", "groß"),
        *("80", "abc", "x2", "1", "tm", "年费", "元", "ガ", "서울", "울의"),
    ]
    assert keys(tokenizer, text) == expected
