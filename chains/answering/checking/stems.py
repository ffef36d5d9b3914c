"""A light stemmer: enough to compare the words of an answer with those of its evidence, not to look words up.

It strips an inflection and then one derivation ("cancelled", "cancellation" -> "cancel"). It is written for English;
words of other languages lose at most a common ending, on both sides alike.
"""

from __future__ import annotations

from functools import lru_cache


def words_of(text: str) -> list[str]:
    """The words of a list that is written as one text."""
    return text.split()


_IRREGULAR = dict(
    pair.split(":")
    for pair in words_of("""sent:send paid:pay took:take taken:take gave:give given:give made:make kept:keep
        lost:lose loss:lose
        came:come sold:sell bought:buy brought:bring told:tell held:hold left:leave wrote:write
        written:write went:go gone:go got:get gotten:get found:find began:begin begun:begin chose:choose
        chosen:choose said:say spent:spend stole:steal stolen:steal theft:steal thief:steal met:meet ran:run
        saw:see seen:see spoke:speak spoken:speak built:build felt:feel fell:fall fallen:fall drew:draw
        drawn:draw broke:break broken:break worn:wear ate:eat eaten:eat drank:drink drunk:drink drove:drive
        driven:drive grew:grow grown:grow knew:know known:know put:put read:read children:child feet:foot
        teeth:tooth men:man women:woman people:people lives:life payment:payment
        payments:payment
        application:apply applications:apply decision:decide decisions:decide receipt:receipt
        receipts:receipt choice:choose choices:choose permission:permit proof:prove extension:extend
        closure:close death:die dead:die died:die born:birth longest:long longer:long higher:high
        highest:highest later:late latest:latest earlier:earlier earliest:earliest
        early:early sooner:soon advice:advise used:use using:use getting:get""")
)
_DERIVATIONS = ("ation", "ment", "ance", "ence", "ion", "er", "al", "able", "ible", "ness", "ly")
_VOWELS = frozenset("aeiouy")
_SHORTEST = {"ment": 3}


@lru_cache(maxsize=20000)
def stem(word: str) -> str:
    """The stem of a lower-case word."""
    word = word.removesuffix("'s").removesuffix("'")
    if _IRREGULAR.get(word) == word:
        return word
    word = _IRREGULAR.get(word, word)
    if len(word) <= 3 or not word.isalpha():
        return word
    word = _without_inflection(word)
    shorter = _without_derivation(word)
    if shorter == word:
        shorter = _without_derivation(_without_final_vowel(word))
    word = _without_final_vowel(shorter)
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeious":
        word = word[:-1]
    return word


def _without_inflection(word: str) -> str:
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWELS & set(rest) and not word.endswith("eed"):
            return rest
    return word


def _without_derivation(word: str) -> str:
    for ending in _DERIVATIONS:
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST.get(ending, 4) and _VOWELS & set(rest):
            return rest
    return word


def _without_final_vowel(word: str) -> str:
    return word[:-1] if len(word) > 4 and word[-1] in "eyi" else word
