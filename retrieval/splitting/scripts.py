"""Character ranges of scripts, to be used inside the brackets of a regular expression.

Chinese and Japanese put no spaces between words. Korean does, but its words carry endings that an English stemmer
does not remove, so a full-text search treats all three alike.
"""

from __future__ import annotations

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
HANGUL = "\u1100-\u11ff\uac00-\ud7a3"

# Scripts without spaces between words.
UNSPACED = HAN + KANA
CJK = HAN + KANA + HANGUL

# Punctuation that ends a sentence, and that separates clauses, without a space after it.
CJK_SENTENCE_ENDS = "。｡！？；"
CJK_COMMAS = "，、："
