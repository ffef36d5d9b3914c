"""What evaluations of all tasks share: the compared systems, the items of a split, and the files of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chains.speakers.secrets import data_without_known_secrets
from evaluation.items import Item, spread
from soft_prompt.files import write_bytes
from soft_prompt.json_text import dump_json
from softgraft.errors import UsageError

# The most frequent answer of train; only for answers from a small closed set.
MAJORITY = "majority"
# A source graft, which the domain starts from.
SOURCE = "source"
SYSTEMS = (MAJORITY, "base", "template", "text-twin", SOURCE, "soft", "soft-gold", "quote", "auto")


def system_names(
    wanted: Sequence[str] | None,
    *,
    trained: bool,
    cli_name: str,
    among: Sequence[str] = SYSTEMS,
    closed: bool = False,
    source: bool = False,
) -> list[str]:
    """The wanted systems in their usual order; None wants all that the domain has.

    `closed`: whether the answers are from a small closed set, which the row `majority` needs. `source`: whether the
    domain has a source graft.

    Raises:
        UsageError: if a name is unknown, or needs a soft prompt and there is none.
    """
    missing = {*(() if closed else (MAJORITY,)), *(() if source else (SOURCE,))}
    available = [name for name in among if name not in missing and (trained or not name.startswith("soft"))]
    unknown = sorted(set(wanted or ()) - set(available))
    if unknown or wanted == []:
        only_training_is_missing = bool(unknown) and set(unknown) <= set(among) - {MAJORITY, SOURCE}
        raise UsageError(
            found=f"no system {', '.join(unknown) or 'at all'} to compare",
            expected=f"some of {', '.join(available)}",
            next_step=f"run: softgraft train {cli_name}"
            if only_training_is_missing
            else f"run: softgraft eval {cli_name} --systems {available[-1]}",
        )
    return [name for name in available if wanted is None or name in wanted]


def held_out(items: Sequence[Item], limit: int | None, path: Path) -> list[Item]:
    """At most `limit` items of a split's file, evenly spread over it.

    Raises:
        UsageError: if there are none.
    """
    if not items:
        raise UsageError(
            found=f"no questions in {path}",
            expected="questions or examples with answers to evaluate on",
            next_step=f"write some to {path.name}",
        )
    return spread(items, limit)


def write_report(build: Path, split: str, report: Mapping[str, Any], replies: Iterable[Mapping[str, Any]]) -> None:
    """Write the figures to `reports/eval-SPLIT.json`, and a line per reply to `reports/eval-SPLIT-replies.jsonl`."""
    folder = build / "reports"
    report = data_without_known_secrets(report)
    folder.mkdir(parents=True, exist_ok=True)
    # A model behind an API may repeat a key.
    lines = (dump_json(data_without_known_secrets(reply), ensure_ascii=False) + "\n" for reply in replies)
    write_bytes(folder / f"eval-{split}-replies.jsonl", "".join(lines).encode())
    write_bytes(folder / f"eval-{split}.json", dump_json(report, indent=1, ensure_ascii=False).encode())
