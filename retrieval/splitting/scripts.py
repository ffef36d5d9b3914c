"""Character ranges of scripts, to be used inside the brackets of a regular expression.

Chinese, Japanese and the scripts of mainland Southeast Asia put no spaces between words. Korean does, but its words
carry endings that an English stemmer does not remove, so a full-text search treats it like Chinese.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
HANGUL = "\u1100-\u11ff\uac00-\ud7a3"
# Letters without marks, digits and punctuation.
THAI = "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"
LAO = "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"
KHMER = "\u1780-\u17b3\u17d7\u17dc"
BURMESE = "\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081\u108e"
BURMESE += "\ua9e0-\ua9e4\ua9e6-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a\uaa7e\uaa7f"
# Tai Le, New Tai Lue, Tai Tham and Tai Viet.
TAI = "\u1950-\u19c9\u1a20-\u1a54\u1aa7\uaa80-\uaaaf\uaab1\uaab5\uaab6\uaab9-\uaabd\uaac0\uaac2\uaadb-\uaadd"
SOUTHEAST_ASIAN = THAI + LAO + KHMER + BURMESE + TAI

# Scripts without spaces between words.
UNSPACED = HAN + KANA + SOUTHEAST_ASIAN
CJK = HAN + KANA + HANGUL

# Punctuation that ends a sentence, and that separates clauses, without a space after it.
CJK_SENTENCE_ENDS = "。｡！？；"
# Of Urdu, Arabic, Hindi and other languages of India, Khmer, Burmese, Ethiopic and Armenian.
OTHER_SENTENCE_ENDS = "\u06d4\u061f\u0964\u0965\u17d4\u17d5\u104b\u1362\u0589"
CJK_COMMAS = "，、："

# The last code point of a script; behind it are symbols and characters for private use.
_LAST_SCRIPT = 0x1EFFF


def ranges(points: Iterable[int]) -> str:
    """Code points, in order, as ranges."""
    runs: list[list[int]] = []
    for point in points:
        if runs and point == runs[-1][1] + 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


# Vowel signs, accents and other marks that belong to the letter before them; `\w` does not match them.
MARKS = ranges(p for p in range(0x300, _LAST_SCRIPT) if unicodedata.category(chr(p)) in ("Mn", "Mc"))
