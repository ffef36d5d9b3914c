"""Time saved in the next turn of a conversation by reusing the KV cache of the turns before it.

    softgraft ingest bank
    python -m benchmarks.speed.conversation_reuse --conversations 2

Each conversation has six questions of test.jsonl about one document. Settings: `closed-book` (no passages), `one
document` (the passages of the first question in every turn) and `retrieved` (the domain's own retrieval). Each one is
answered without and with the conversation cache. Times are CPU times, so other work on the machine does not count.
`first` is the time to the first token, without retrieval.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.script import make_parser, results_head, results_path, write_results
from benchmarks.tables import print_table

COLUMNS = ("setting", "reused", "cached of", "first without", "with", "reply without", "with", "same text")


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--domain", type=Path, default=Path("domains/bank"), help="default: %(default)s")
    parser.add_argument("--conversations", type=int, default=6, help="maximum number (default: %(default)s)")
    parser.add_argument("--history-turns", type=int, default=6, help="turns the model reads (default: %(default)s)")
    options = parser.parse_args()
    from benchmarks.speed.generation.conversations import MAX_TOKENS, TURNS, run

    rows, talks = run(options.domain, options.conversations, options.history_turns)
    config = {"domain": options.domain.name, "conversations": talks, "turns": TURNS, "max_tokens": MAX_TOKENS}
    head = results_head(config, ("torch", "transformers"))
    write_results(results_path(options.out, "conversation_reuse", head["hardware"]), {**head, "rows": rows})
    table = []
    for row in rows:
        without, with_cache = row["without"], row["with"]
        table.append([
            row["setting"],
            f"{row['reused']:.0%}",
            f"{without['cached']:.0f} / {with_cache['cached']:.0f} of {with_cache['positions']:.0f}",
            *(f"{side[time]:.0f} ms" for time in ("first_ms", "total_ms") for side in (without, with_cache)),
            f"{row['same_text']} of {row['replies']}",
        ])  # fmt: skip
    print_table("", COLUMNS, table)


if __name__ == "__main__":
    main()
