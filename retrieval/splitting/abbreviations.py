"""Whether a sentence goes on after a full stop: after an abbreviation, an initial, an ordinal or an omission.

The lists are English and German, with a few words of other languages. Where an abbreviation may end a sentence
("Acme Inc."), the next word decides: "The" begins a sentence, "Board" belongs to the name.
"""

from __future__ import annotations

import re

# Characters before the full stop that are read; the longest abbreviation is shorter.
_READ = 24
_BLANK_LINE = re.compile(r"[^\S\n]*\n[^\S\n]*\n")


def _ending(words: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """Matches a text that ends with one of these words and a full stop."""
    return re.compile(rf"(?<![\w.])(?:{'|'.join(words.split())})\.$", flags)


# Something always follows.
_OPEN = _ending(
    r"mr mrs ms mx dr drs prof rev hon gen col capt cmdr lt sgt maj gov sen rep mme mlle messrs "
    r"hr hrn fr frl dipl ing med phil jur nat vs cf approx ca circa vgl bzw ggf evtl inkl incl excl zzgl sog e\.\s?g "
    r"i\.\s?e z\.\s?b d\.\s?h ул стр им"
)
# A number follows, or with a capital ("Fig.", "Kap.") another word of the reference. "No." is also an answer.
_NUMBERED = _ending(
    r"nos? nrs? figs? eqs? secs? sect arts? abs abb tab kap bd bde ch chap vols? pp? para pt app ref refs rule "
    r"min max est tel ext jan feb mar apr jun jul aug sept? oct okt nov dec dez"
)
_REFERENCE = _ending("Figs? Eqs? Secs? Sect Arts? Abb Tab Kap Bd Chap Vols?", re.NOFLAG)
# The next word decides.
_CLOSED = _ending(
    r"inc ltd co corp llc plc bros dept univ assn jr sr st ste mt ft ave blvd rd sq \w*str al ph\.\s?d [bm]\.\s?sc"
)
_HALF_DAY = re.compile(r"(?<![^\W\d])[ap]\.\s?m\.$", re.IGNORECASE)
_AFTER_HALF_DAY = re.compile(r"(?:Mon|Tues?|Wed|Thurs?|Fri|Sat|Sun)(?:[a-z]*day)?s?\b|[A-Z]{2,4}\b")
# One letter, such as an initial or that of "U.S.".
_LETTER = re.compile(r"(?<![\w'’])[^\W\d_]\.$")
_ORDINAL = re.compile(r"(?<![\w.,])\d{1,2}\.$")
_MONTH = re.compile(
    r"(?:Jan(?:uar|uary|ner)?|Feb(?:ruar|ruary)?|März|Mär|Apr(?:il)?|Mai|May|Juni?|June|Juli?|July|Aug(?:ust)?|"
    r"Sept?(?:ember)?|O[kc]t(?:ober)?|Nov(?:ember)?|De[zc](?:ember)?)\b"
)
_ARTICLE = re.compile(
    r"(?<!\w)(?:der|die|das|dem|den|des|am|im|vom|zum|zur|beim|ab|bis|seit|jede[rsnm]?|ein|eine[rsnm]?|und|oder)"
    r"\s+\d{1,2}\.$",
    re.IGNORECASE,
)
_STARTER = re.compile(
    r"(?:The|This|That|These|Those|There|Then|They|Their|It|Its|He|She|His|Her|We|Our|You|Your|I|My|An?|In|On|At|As|If|"
    r"For|From|With|By|To|When|While|Where|What|Which|Who|Why|How|But|And|Or|So|Yet|However|After|Before|Since|Until|"
    r"Because|Although|Unless|Please|All|Any|Both|Each|Every|Some|Many|Most|No|Not|Only|Also|Once|Here|Now|Today|"
    r"Der|Die|Das|Den|Dem|Ein|Eine|Es|Er|Sie|Wir|Ihr|Im|Bei|Mit|Wenn|Aber|Und|Oder|Dann|Danach|Diese[rsnm]?|"
    r"Le|La|Les|Il|Elle|Un|Une|El|Los|Las)\b(?!\.)"
)


def goes_on(text: str, start: int, mark: int, end: int, following: int) -> bool:
    """Whether the sentence that starts at `start` goes on after its marks, `text[mark:end]`.

    `following` is the position of the next character after white space, opening quotes and brackets.
    """
    if _BLANK_LINE.match(text, end):
        return False
    if text[following].islower():
        return True
    marks = text[mark:end]
    if "…" in marks or "..." in marks:
        # "old ... New" and "[...]" leave something out; "Wait... Then" ends, and so does "(JPEG, ...)".
        return mark > start and (text[mark - 1].isspace() if marks[-1] in ".…" else text[mark - 1] in "([")
    if marks != ".":
        return False
    before = text[max(start, end - _READ) : end]
    number = text[following].isdecimal()
    if _OPEN.search(before):
        return True
    if _HALF_DAY.search(before):
        return number or _AFTER_HALF_DAY.match(text, following) is not None
    if _NUMBERED.search(before):
        return number or (_REFERENCE.search(before) is not None and not _STARTER.match(text, following))
    if _CLOSED.search(before) or _LETTER.search(before):
        return not _STARTER.match(text, following)
    if _ORDINAL.search(before):
        return _MONTH.match(text, following) is not None or (not number and _ARTICLE.search(before) is not None)
    return False
