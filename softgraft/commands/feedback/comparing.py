"""`softgraft feedback DOMAIN compare`: two answers in random order, without names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from softgraft.commands import console
from softgraft.commands.console import out, styled
from softgraft.feedback.comparison import Choice, Comparison, Shown

_KEYS = "better: [1], [2], [t]ie, [s]kip, [q]uit: "
_CHOICES: dict[str, Choice] = {"1": "left", "2": "right", "t": "tie"}


def compare(name: str, systems: Sequence[str], questions: int, split: Literal["dev", "test"]) -> None:
    """Ask for each question that is not judged yet; every judgement is saved at once."""
    domain = console.open_domain(name)
    comparison = Comparison(domain, systems, questions, split)
    done, total = comparison.progress()
    if done:
        out.print(f"{done} of {total} questions are judged already")
    for shown in comparison.pending():
        done, total = comparison.progress()
        if not _judge(comparison, shown, f"{done + 1} of {total}"):
            break
    done, total = comparison.progress()
    out.print(f"{done} of {total} questions are judged")
    again = f"compare --systems {','.join(systems)} --questions {questions} --split {split}"
    action = "report" if done == total else again
    out.print(f"next: softgraft feedback {domain.cli_name} {action}")


def _judge(comparison: Comparison, shown: Shown, position: str) -> bool:
    """Ask about one question; False ends the comparison."""
    out.print(styled(f"\n{position}", "bold"))
    for question, answer in shown.item.history:
        out.print(styled(f"> {question}", "dim"))
        out.print(styled(answer, "dim"))
    out.print(styled(f"> {shown.item.question}", "bold"))
    for number, answer in (("1", shown.left), ("2", shown.right)):
        out.print(styled(f"[{number}]", "bold"), answer)
    while True:
        try:
            key = input(_KEYS).strip()[:1].lower()
        except EOFError:
            out.print()
            return False
        if key in _CHOICES:
            comparison.prefer(shown, _CHOICES[key])
            return True
        if key in ("s", "q"):
            return key == "s"
        out.print("one of 1, 2, t, s, q")
