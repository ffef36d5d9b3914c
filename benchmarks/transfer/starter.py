"""Make the starters that ship with the package: a source graft of the embedded backbone for each template.

    make starter DATA=DIR
    python -m benchmarks.transfer.starter --data DIR

`rag-chat` is trained on the train questions of the example domains, and `extractive-qa` on train questions of `squad`
(CC BY-SA 4.0). They are written to softgraft/starters as int8. Their cards say what they score on dev questions of sets
that they were not trained on. Test questions are never used. An interrupted run continues.
"""

from __future__ import annotations

import os

from benchmarks import script

TEMPLATES = ("rag-chat", "extractive-qa")


def main() -> None:
    """Train what was asked for."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/ and covidqa/", work="starter")
    parser.add_argument("--templates", type=script.names_of(TEMPLATES), default=TEMPLATES, help="default: both")
    parser.add_argument("--limit", type=script.positive, default=240, help="train questions of each domain")
    parser.add_argument("--squad", type=script.positive, default=600, help="train questions of squad")
    parser.add_argument("--dev", type=script.positive, default=20, help="dev questions of each domain")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from benchmarks.transfer.starters import make_starter

    for template in options.templates:
        limit = options.limit if template == "rag-chat" else options.squad
        script.in_own_process(make_starter, template, options.data, options.work, limit, options.dev, options.seed)


if __name__ == "__main__":
    main()
