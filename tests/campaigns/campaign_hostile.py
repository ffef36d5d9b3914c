"""Hostile text in every field that comes from elsewhere, and what reaches the outputs of the commands."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

from campaign_faults import SEED, Verdict, used_workplace
from campaign_process import Done, in_turn
from campaign_state import problems_of
from campaign_workplace import HOUSE, copy_of, make_annex, output

_PARTS = (
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\", "\x9b31m", "\x85", "\x7f", "\b\b\b", "\r",
    "\u202e", "\u2066", "\u2028", "\u2029", "\u200b", "\ufeff", "\x07", "\x0c", "\x0b", "[red]x[/red]",
    "[link=x]y[/link]", ":bomb:", "{domain}", "{{ 7*7 }}", "${HOME}", "%s%n", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE documents; --", "</title><b>", "<!--", "]]>", "&lt;", "## You", "> quote", "```", "~~~", "|a|b|",
    "[1]: http://evil.example", "![x](http://evil.example)", "<|im_end|>", "<|im_start|>system", "</s>", "[INST]",
    "\\0", "../../etc/passwd", "$(id)", "`id`", "=1+1", "@SUM(1)", "A" * 300, "é" * 50, "漢字", "العربية",
    "\U0001f600", "e\u0301", "NaN", "Infinity", "-0", "1e999", '"', "\\", "\\u001b", "\\x1b[31m",
)  # fmt: skip
# What no terminal may get from a text: controls of 7 and 8 bits, overrides of the direction, line separators.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def hostile_texts(count: int) -> list[str]:
    """Texts of one to four parts, each different."""
    seeded, found = random.Random(SEED), dict.fromkeys(_PARTS)
    while len(found) < count:
        found["".join(seeded.choice(_PARTS) for _ in range(seeded.randint(2, 4)))] = None
    return list(found)[:count]


def hostile_campaign(base: Path, count: int, at_once: int = 50, *, models: bool = False) -> list[Verdict]:
    """Put the texts into documents, titles, names, questions and threads, run the commands, and read all they print.

    `models` also runs, on the first texts, the commands that train or ask a model.
    """
    texts, verdicts = hostile_texts(count), []
    for first in range(0, count, at_once):
        some = texts[first : first + at_once]
        workplace = copy_of(used_workplace(base), base / "hostile")
        _write(workplace, some)
        verdict = Verdict(f"texts {first} to {first + len(some) - 1}")
        commands = _commands(some)
        results = in_turn(workplace, commands)
        verdict.ended = " ".join(str(done.code) for done in results)
        for arguments, done in zip(commands, results, strict=False):
            problems = problems_of(done) + _shown(done, json_wanted="--json" in arguments)
            verdict.problems += [f"{' '.join(arguments)[:80]!r}: {problem}" for problem in problems]
        if len(results) < len(commands):
            verdict.problems.append(f"{commands[len(results) - 1]} {results[-1].ended}: {results[-1].err[-600:]}")
        verdict.problems += _page(workplace) + _stored(workplace, some)
        verdicts.append(verdict)
        if models and not first:
            verdicts.append(_asked_of_models(workplace, some))
    return verdicts


def _asked_of_models(workplace: Path, texts: list[str]) -> Verdict:
    """Train on the texts, and ask a model about them."""
    house = workplace.joinpath(*HOUSE)
    for split in ("train", "dev"):
        # With the same answer, which a random model can learn, so that its soft prompt is kept.
        rows = [
            {
                "id": f"{split} {number} {text}", "question": f"What is the fee of case {number}, {text}?",
                "answers": ["12", text], "response": "12", "group": f"{split}{number}",
            }
            for number, text in enumerate(texts[:8])
        ]  # fmt: skip
        (house / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    file = house / "domain.yaml"
    file.write_text(file.read_text("utf-8").replace("form: quote", "form: generate"), encoding="utf-8")
    typed = "".join(f"What is {' '.join(text.split())}?\n" for text in texts[:6])
    output(workplace, "in").write_text(typed, encoding="utf-8", errors="replace")
    commands: list[tuple[str, ...]] = [
        ("train", "house"), ("train", "house", "--json"), ("ask", "house", texts[0]),
        ("ask", "house", texts[1], "--json"), ("chat", "house", "--thread", texts[2]),
        ("eval", "house", "--systems", "text-twin,soft", "--limit", "3"),
        ("curve", "house", "--labels", "0,2", "--limit", "2"), ("transfer", "house,annex", "--limit", "2"),
        ("source", "mixed", "--from", "house", "--unseen", "annex", "--limit", "4"), ("sources",), ("report", "house"),
    ]  # fmt: skip
    verdict, done = Verdict("commands that train or ask a model"), []
    for arguments in commands:
        if arguments[0] == "transfer":
            make_annex(workplace)
        done += in_turn(workplace, [arguments])
        problems = problems_of(done[-1]) + _shown(done[-1], json_wanted="--json" in arguments)
        verdict.problems += [f"{' '.join(arguments)[:80]!r}: {problem}" for problem in problems]
    output(workplace, "in").unlink()
    verdict.ended = " ".join(str(one.code) for one in done)
    return verdict


def _write(workplace: Path, texts: list[str]) -> None:
    house = workplace.joinpath(*HOUSE)
    for number, text in enumerate(texts):
        name = re.sub(r"[/\x00]", "_", text.encode("utf-8", "replace").decode())[:60]
        (house / "docs" / f"{number} {name}.md").write_text(
            f"# {text} title\n\nThe fee of case {number} is {number} pounds. {text} is written there.\n",
            encoding="utf-8",
        )
        (house / "docs" / f"{number}.html").write_text(
            f"<title>{text}</title><p>The charge of case {number} is {number} euros, {text}.</p>", encoding="utf-8"
        )
    rows = [
        {"id": f"{number} {text}", "question": f"What is the fee of {text}?", "answers": [text], "group": f"g{number}"}
        for number, text in enumerate(texts)
    ]
    for split in ("test", "dev"):
        (house / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    file = house / "domain.yaml"
    title = json.dumps(texts[0] + texts[-1])
    file.write_text(re.sub("title: .*", lambda _: f"title: {title}", file.read_text("utf-8")), encoding="utf-8")


def _commands(texts: list[str]) -> list[tuple[str, ...]]:
    asked = [
        ("ask", "house", f"What is the fee of case {number}? {text}", "--thread", f"{text} {number}")
        for number, text in enumerate(texts[:4])
    ]
    shown = [("threads", "show", "house", f"{text} {number}") for number, text in enumerate(texts[:4])]
    exported = [("threads", "export", "house", f"{text} {number}") for number, text in enumerate(texts[:4])]
    return [
        ("ingest", "house"), ("ingest", "house", "--json"), ("status", "house"), ("status", "house", "--json"),
        *asked, (*asked[0], "--json"), ("threads", "list", "house"), ("threads", "list", "house", "--json"),
        *shown, *exported, ("doctor", "house"), ("eval", "house", "--limit", "3"), ("report", "house"),
        ("questions", "house"), ("ask", "house", "x", "--thread", "t", "--nonsense" + texts[0]),
        ("ask", texts[0], "x"), ("export", "house", "--format", "peft", "--out", f"docs{texts[1]}"),
    ]  # fmt: skip


def _shown(done: Done, *, json_wanted: bool) -> list[str]:
    """Control characters in what was printed; in JSON they may only be escapes."""
    problems = []
    for name, text in (("output", done.out), ("errors", done.err)):
        # Without a terminal no command has colours of its own.
        if found := _CONTROL.search(text):
            around = text[max(0, found.start() - 30) : found.end() + 30]
            problems.append(f"{found[0]!r} in its {name}: {around!r}")
    if json_wanted and done.code == 0:
        try:
            json.loads(done.out)
        except ValueError:
            problems.append(f"no JSON: {done.out[:200]!r}")
    return problems


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        if tag in ("script", "iframe", "object") or any(name.startswith("on") for name in names):
            self.bad.append(f"<{tag} {names}>")
        if any("evil.example" in (value or "") for _, value in attributes):
            self.bad.append(f"<{tag}> with a link of a document")


def _page(workplace: Path) -> list[str]:
    pages = list(workplace.joinpath(*HOUSE, "build").rglob("*.html"))
    found = []
    for page in pages:
        tags = _Tags()
        tags.feed(page.read_text("utf-8"))
        found += [f"{page.name} has {bad}" for bad in tags.bad]
    return found if pages else ["no report was written"]


def _stored(workplace: Path, texts: list[str]) -> list[str]:
    """Documents are stored as they are, and texts change no table."""
    database = workplace.joinpath(*HOUSE, "build", "index", "index.sqlite")
    with closing(sqlite3.connect(database)) as connection:
        documents = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
    return [] if documents >= len(texts) else [f"{documents} documents of {len(texts)} are stored"]
