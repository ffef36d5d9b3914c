"""Question wording by rule, in English, for whole sentences: conditions, instructions, definitions and table rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from softgraft.jobs.questions.pronouns import as_the_reader
from softgraft.jobs.questions.spans import Worded
from softgraft.jobs.questions.wording import capitalised, lowered

_CONDITION = re.compile(
    r"^(?P<word>If|When|Once|Unless) (?P<condition>[^,;:.]{8,110}), (?:then )?(?P<main>[^;:]{12,160})$"
)
_INSTRUCTION = re.compile(r"^To (?P<task>[a-z][^,;:.]{6,90}), (?P<steps>[^;:]{10,180})$")
_MEANS = re.compile(r"^You can (?P<task>[a-z][^,;:.]{4,70}?) (?P<means>by [a-z]+ing\b[^;:]{4,120})$")
_TOOL = re.compile(
    r"^(?P<verb>Use|Run|Call|Set|Add|Pass|Type|Press|Choose|Select|Click|Open|Tap) (?P<tool>`[^`]+`|[^,;:.`]{3,50}?) "
    r"to (?P<task>[a-z][^,;:]{6,90})$"
)
_DEFINITION = re.compile(
    r"^(?P<term>(?:An?|The|Your)? ?[A-Za-z][\w'’`-]*(?: [\w'’`-]+){0,4}) (?P<be>is|are) "
    r"(?P<meaning>(?:an?|the) [^;:]{12,140})$"
)
# The subject of a definition that refers to something else, or is a figure of speech.
_NO_TERM = re.compile(
    r"\b(?:this|that|these|those|it|there|here|what|which|one|other|same|first|only|you|we|they|not|if|when|how|is|are|was|were|has|have)\b",
    re.I,
)
_ANAPHORA = re.compile(r"\b(?:this|that|these|those|it|they|them|so|such|above|below)\b", re.IGNORECASE)
_NO_CLAUSE = re.compile(
    r"(?:for example|for instance|such as|e\.g|and|or|but|including|by|with|of|to|at|from)\b", re.IGNORECASE
)
_ENDS_OPEN = re.compile(
    r"\b(?:with|in|on|at|for|of|to|by|from|about|full|new|first|second|third|fourth|one|two|three|more|another|longer|sooner)$",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r"(?:an?|the|every|everyone|each|we|it|there|he|she|they|this|that)\b", re.IGNORECASE)
_LONGEST_MAIN, _SHORTEST_TASK = 28, 3


def ask_about_sentence(sentence: str, lower_case: AbstractSet[str] = frozenset()) -> list[Worded]:
    """The questions that the form of a sentence gives, such as "What happens if ...?" for a condition."""
    text = re.sub(r"[.!]+\s*$", "", sentence.strip())
    if "\n" in text or text.startswith("|"):
        return []
    found: list[Worded] = []
    if (match := _CONDITION.match(text)) and _stands_alone(match["condition"]) and _short(match["main"]):
        word = match["word"].lower()
        question = f"What happens {word} {as_the_reader(match['condition'])}?"
        found.append(Worded(question, (match["main"],), _statement(text)))
    if (match := _INSTRUCTION.match(text)) and _is_task(match["task"], match["steps"]):
        found.append(Worded(f"How do I {as_the_reader(match['task'])}?", (match["steps"],), _statement(text)))
    if (match := _MEANS.match(text)) and _stands_alone(match["task"]):
        found.append(Worded(f"How can I {as_the_reader(match['task'])}?", (match["means"],), _statement(text)))
    if (match := _TOOL.match(text)) and _stands_alone(match["task"]):
        tool = match["tool"].strip("`")
        question = f"What do I {match['verb'].lower()} to {as_the_reader(match['task'])}?"
        found.append(Worded(question, (tool,), _statement(text)))
    if (match := _DEFINITION.match(text)) and _is_term(match["term"]):
        term = lowered(match["term"], lower_case)
        question = f"What {match['be']} {as_the_reader(term)}?"
        found.append(Worded(question, (match["meaning"],), _statement(text), as_the_reader(term)))
    return found


def ask_about_row(header: Sequence[str], row: Sequence[str]) -> list[Worded]:
    """A question about each further cell of a table row: "Duplicate statement: what is the charge?"."""
    if len(header) != len(row) or len(row) < 2 or not row[0] or not header[0]:
        return []
    found = []
    for name, cell in zip(header[1:], row[1:], strict=True):
        if name and cell and len(row[0].split()) > 1 and len(cell.split()) <= 12 and any(c.isalnum() for c in cell):
            label, column = row[0].rstrip(":"), name[0].lower() + name[1:]
            label = label if label[:2].isupper() else label[0].lower() + label[1:]
            question = f"What is the {column} for {label}?"
            found.append(Worded(question, (cell,), f"The {column} for {label} is {cell}.", label))
    return found


def _is_term(term: str) -> bool:
    """Whether the subject of a definition names something; a repeated word shows that a heading runs into it."""
    words = term.lower().split()
    return not _NO_TERM.search(term) and len(set(words)) == len(words)


def _is_task(task: str, steps: str) -> bool:
    """Whether "To do this, do that" has an instruction, not a statement about somebody, as its main clause."""
    complete = len(task.split()) >= _SHORTEST_TASK and _stands_alone(task)
    return complete and _short(steps) and not _STATEMENT.match(steps)


def _stands_alone(words: str) -> bool:
    """Whether words refer to nothing in another sentence: "miss a third" does."""
    return not _ENDS_OPEN.search(words) and not _ANAPHORA.search(words)


def _short(text: str) -> bool:
    return len(text.split()) <= _LONGEST_MAIN and not _NO_CLAUSE.match(text)


def _statement(text: str) -> str:
    return capitalised(text) + "."
