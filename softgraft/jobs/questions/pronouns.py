"""From the organisation's point of view to the reader's: "you" becomes "I", and "we" becomes "you"."""

from __future__ import annotations

import re

_SWAPS = {
    "your": "my", "yours": "mine", "yourself": "myself", "we": "you", "our": "your", "ours": "yours", "us": "you",
    "you've": "I've", "you'll": "I'll", "you're": "I'm", "you’ve": "I’ve", "you’ll": "I’ll", "you’re": "I’m",
    "you'd": "I'd", "you’d": "I’d", "we'd": "you'd", "we've": "you've", "we'll": "you'll", "we're": "you're",
}  # fmt: skip
# Before these, "you" is an object.
_AFTER_OBJECT = re.compile(
    r"within|in|at|on|for|to|by|with|from|when|if|and|or|an?|the|your|our|any|each|up|about|of|as|than|more|until|back|"
    r"after|before|how|what|which|into|ahead"
)
_VERB_WITH_OBJECT = re.compile(
    r"takes?|gives?|sends?|tells?|asks?|pays?|charges?|costs?|helps?|lets?|allows?|refunds?|shows?|lends?|contacts?|"
    r"calls?|books?|tricks?|tricked|reach(?:es)?|reminds?|brings?|makes?|offers?|gets?|leads?|keeps?",
    re.IGNORECASE,
)
_AUXILIARY = re.compile(
    r"is|are|was|were|can|could|must|may|might|will|would|should|do|does|did|has|have|if|when", re.IGNORECASE
)


def as_the_reader(words: str) -> str:
    """A question about the organisation's text, as its reader would ask it."""
    given = words.split()
    result: list[str] = []
    for number, word in enumerate(given):
        bare = word.strip(",.?!;:").lower()
        swapped = _SWAPS.get(bare)
        if bare == "you":
            following = given[number + 1].lower() if number + 1 < len(given) else ""
            after_auxiliary = number > 0 and _AUXILIARY.fullmatch(given[number - 1]) is not None
            is_object = bool(
                (number > 0 and _VERB_WITH_OBJECT.fullmatch(given[number - 1]))
                or word[-1] in ",.?!;:"
                or not following
                or _AFTER_OBJECT.fullmatch(following)
                or following[0].isdigit()
            )
            swapped = "me" if is_object and not after_auxiliary else "I"
        if swapped is None:
            result.append(word)
        else:
            result.append(re.sub(re.escape(bare), lambda _, new=swapped: new, word, flags=re.IGNORECASE))  # type: ignore[misc]
    text = " ".join(result)
    text = re.sub(r"\b(are|were) I\b", lambda match: "am I" if match[1] == "are" else "was I", text)
    return re.sub(r"\bI (are|were)\b", lambda match: "I am" if match[1] == "are" else "I was", text)
