"""Whether the engine's replies are as good as those of each row decoded alone.

    python -m benchmarks.speed.decoding_quality --data DIR

The test questions of `squad`, each with its gold passage, are answered with the shipped `extractive-qa` source graft in
the backbone's own dtype: by the engine with many rows at a time, by the engine without compiled kernels, with int8
weights, and by the decoder for models that the engine does not know, one row after the other. In bfloat16 rows that run
together may be rounded differently. Nothing is chosen on these questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import script

PACKAGES = ("torch", "transformers", "softgraft")
ALONE = "one row after the other"


def main() -> None:
    """Measure and print the table."""
    parser = script.make_parser(__doc__, data="squad/", work="decoding_quality")
    parser.add_argument("--limit", type=script.positive, default=300, help="questions (default: %(default)s)")
    options = parser.parse_args()
    from benchmarks.quality.data import DataSet
    from benchmarks.tables import difference, estimate, interval_text, print_table
    from evaluation.text_scores import exact_match, token_f1
    from soft_prompt import Backbone, Decoding, PrefixStore, encode_prompt, load_soft_prompt
    from soft_prompt.engine.engine import Engine
    from soft_prompt.engine.request import Request
    from soft_prompt.generation.static_batch import decode_static_batch

    backbone = Backbone.load()
    loaded = load_soft_prompt(script.ROOT / "softgraft" / "starters" / "extractive-qa" / "soft_prompt", backbone)
    assert loaded is not None
    graft, manifest = loaded
    source = DataSet("squad", options.data, options.work)
    questions = source.questions("test", "gold", options.limit)
    rows = [encode_prompt(backbone, one.prompt, {graft.slot: graft}, manifest.attention) for one in questions]
    store, decoding = PrefixStore(backbone, memory_bytes=4 * 1024**3), Decoding(max_tokens=32)

    def by_engine(**settings: Any) -> list[str]:
        engine = Engine(backbone, **settings)
        job = engine.submit([Request(store, row, decoding) for row in rows])
        replies = {delta.row: delta.reply.text for delta in job if delta.reply is not None}
        engine.stop()
        return [replies[number] for number in range(len(rows))]

    def alone() -> list[str]:
        deltas = decode_static_batch(store, rows, decoding, range(len(rows)), batch_size=1)
        replies = {delta.row: delta.reply.text for delta in deltas if delta.reply is not None}
        return [replies[number] for number in range(len(rows))]

    systems: dict[str, Callable[[], list[str]]] = {
        ALONE: alone,
        "engine": by_engine,
        "engine without kernels": lambda: by_engine(native=False),
        "engine with int8": lambda: by_engine(int8=True),
    }
    scores: dict[str, dict[str, list[float]]] = {}
    replies: dict[str, list[str]] = {}
    for name, run in systems.items():
        replies[name] = run()
        pairs = list(zip(replies[name], questions, strict=True))
        scores[name] = {
            "token_f1": [token_f1(reply, one.item.answers) for reply, one in pairs],
            "exact_match": [exact_match(reply, one.item.answers) for reply, one in pairs],
        }
        print(f"{name}: {len(rows)} questions", flush=True)
    found: dict[str, dict[str, Any]] = {
        name: {
            "equal_replies": sum(ours == theirs for ours, theirs in zip(replies[name], replies[ALONE], strict=True)),
            **{metric: estimate(values) for metric, values in own.items()},
            "token_f1_against_alone": difference(own["token_f1"], scores[ALONE]["token_f1"]),
        }
        for name, own in scores.items()
    }
    head = script.results_head({"questions": len(rows), "dtype": str(backbone.dtype), "max_tokens": 32}, PACKAGES)
    out = script.results_path(options.out, "decoding_quality", head["hardware"])
    script.write_results(out, {**head, "systems": found})
    table = [
        [name, str(one["equal_replies"]), interval_text(one["token_f1"]), interval_text(one["exact_match"]),
         interval_text(one["token_f1_against_alone"], "+")]
        for name, one in found.items()
    ]  # fmt: skip
    columns = ("system", "replies equal", "token F1", "exact match", "F1 against alone")
    print_table(f"{len(rows)} questions of squad", columns, table)


if __name__ == "__main__":
    main()
