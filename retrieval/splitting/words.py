"""Words of any script: the form in which they are compared, and patterns that match them whole.

`\\w` matches no marks, so it would cut a word of Hindi or Tamil at each of its vowel signs.
"""

from __future__ import annotations

import re
import unicodedata

from retrieval.splitting.scripts import MARKS, UNSPACED, ranges

# A letter or digit of a script with spaces, or a mark.
LETTER = rf"(?![_{UNSPACED}])[\w{MARKS}]"
# Marks, and the letter below the one before it in Khmer, Burmese and Tai Tham.
_ATTACHED = rf"(?:[{MARKS}]|(?<=[\u17d2\u1039\u1a60])[{UNSPACED}])*"
# A letter of a script without spaces, with what is attached to it. It counts as a word.
SYLLABLE = f"[{UNSPACED}]{_ATTACHED}"
# Letters of a script without spaces in a row.
UNSPACED_RUN = rf"[{UNSPACED}][{UNSPACED}{MARKS}]*"

# What a reader does not see: soft hyphens, joiners, byte order marks, direction marks, variation selectors.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
# Vowels and other marks that Hebrew and Arabic mostly leave out, and the stroke that makes an Arabic word longer.
_OPTIONAL = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u0897-\u089f\u08ca-\u08e1\u08e3-\u08ff]"
)
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
# Superscripts, fractions and numbers in circles: 10² is not 102.
_NUMBER_SIGNS = re.compile(f"([{ranges(p for p in range(0xB2, 0x3300) if unicodedata.category(chr(p)) == 'No')}]+)")
_SYLLABLES = re.compile(f"[^{MARKS}]{_ATTACHED}")


def folded(text: str) -> str:
    """The text in the form in which words are compared: two spellings of a word that look alike are equal.

    Compatibility forms, such as full-width letters, are normalised (NFKC), digits of any script are ASCII, and
    invisible characters and the vowel marks of Hebrew and Arabic are left out. Capitals and accents stay.
    """
    if text.isascii():
        return text
    parts = _NUMBER_SIGNS.split(_IGNORED.sub("", text))
    text = "".join(part if n % 2 else unicodedata.normalize("NFKC", part) for n, part in enumerate(parts))
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), _OPTIONAL.sub("", text))


def syllables(run: str) -> list[str]:
    """The letters of a run, each with its marks; in Chinese and Korean, its characters."""
    return _SYLLABLES.findall(run)
