"""Features of the best quotable sentence that tell evidence with an answer from evidence without one.

A passage about the subject of a question looks like evidence even if it does not answer. Its best sentence then scores
lower, hardly better than the others, and often lacks what is asked for, such as a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import RankedPassage
from retrieval.ranking.answer_type import asked_type, has_type
from retrieval.ranking.sentence_selection import FEATURES, SentenceSelector

QUOTE_FEATURES = (
    "quote_score", "quote_lead", "quote_spread", "quote_coverage", "type_asked", "type_quoted", "type_missing",
)  # fmt: skip
# Passages whose sentences are compared: what a quote is selected from (`AnswerSettings.evidence_budget`).
QUOTED_PASSAGES = 8
# Sentences whose mean score is the background.
_BACKGROUND = 10
# Sentences that may have the kind of answer that is asked for.
_BEST = 3
_COVERAGE = FEATURES.index("coverage")


def quote_features(
    selector: SentenceSelector, query: str, question: str, ranked: Sequence[RankedPassage]
) -> dict[str, float]:
    """The features of the sentences of the first passages; all 0 if these have none.

    `question` is what was asked, and `query` its standalone form.
    """
    sentences, features = selector.features(question, ranked[:QUOTED_PASSAGES], search_query=query)
    if not sentences:
        return dict.fromkeys(QUOTE_FEATURES, 0.0)
    scores = selector.scores(features)
    order = np.argsort(-scores, kind="stable")
    best: NDArray[np.float64] = scores[order]
    kind = asked_type(question) or asked_type(query)
    has = [kind is not None and has_type(sentences[n].text, kind) for n in order[:_BEST]]
    return {
        "quote_score": float(best[0]),
        "quote_lead": float(best[0] - best[1]) if len(best) > 1 else 0.0,
        "quote_spread": float(best[0] - best[:_BACKGROUND].mean()),
        "quote_coverage": float(features[order[0], _COVERAGE]),
        "type_asked": float(kind is not None),
        "type_quoted": float(has[0]),
        "type_missing": float(kind is not None and not any(has)),
    }
