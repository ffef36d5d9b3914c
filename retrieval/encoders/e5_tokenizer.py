"""The tokenizer of multilingual-e5-small: a SentencePiece unigram vocabulary of 250,002 pieces (XLM-R's)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from retrieval.encoders.e5_file import E5File

_SPACES = re.compile(" {2,}")
# The normalisation removes this character, so no text contains it.
_NEVER = "\x01"


class E5Tokenizer:
    """Texts to token ids with the special tokens around them. Thread-safe.

    Runs of unknown characters are one token, and white space at the ends is dropped, as the model was trained. Control
    tokens such as `</s>` are ordinary text in a text.
    """

    def __init__(self, file: E5File) -> None:
        special = {file.begin_id, file.end_id, file.pad_id, file.unknown_id}
        pieces = [
            (f"{_NEVER}{piece}" if number in special or piece == "<mask>" else piece, score)
            for number, (piece, score) in enumerate(file.pieces)
        ]
        self._tokenizer = Tokenizer(Unigram(pieces, unk_id=file.unknown_id, byte_fallback=False))
        self._tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always", split=True)
        # A lone surrogate is not a character and cannot be encoded.
        self._replacements = file.replacements | dict.fromkeys(range(0xD800, 0xE000), " ")
        self._begin, self._end = file.begin_id, file.end_id

    def ids(self, texts: Sequence[str], window: int | None = None) -> list[list[int]]:
        """The token ids of each text, special tokens included, truncated to `window` if it is given."""
        inside = None if window is None else window - 2
        encoded = self._tokenizer.encode_batch([self._normalised(text) for text in texts], add_special_tokens=False)
        return [[self._begin, *one.ids[:inside], self._end] for one in encoded]

    def _normalised(self, text: str) -> str:
        # The table replaces single characters. Composed ones are what the model was trained on.
        composed = unicodedata.normalize("NFC", text)
        return _SPACES.sub(" ", composed.translate(self._replacements)).strip(" ")
