"""Features of a ranking that tell evidence with an answer from evidence without one.

They are relative, so that they mean nearly the same in other domains: shares of the question's words, and cosines
compared with those of the passages further down. A follow-up is searched for together with the question before it, and
would inherit that question's good evidence. So it is also compared with the evidence by itself: the `own_` features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage, RankedPassage, embedded_digest, embedded_text, passage_text
from retrieval.encoders.encoder import Encoder
from retrieval.ranking import lexical
from retrieval.ranking.quote_features import QUOTE_FEATURES, quote_features
from retrieval.ranking.rerank import SentenceReranker
from retrieval.ranking.sentence_selection import SentenceSelector
from retrieval.splitting.sentences import sentences_by_line
from retrieval.store.store import PassageStore
from retrieval.store.terms import Tokenizer

# Passages that count as evidence, even if the model reads fewer.
SCORED_PASSAGES = 4
# A larger lead of the best passage adds no information, and would outweigh all other features.
_MAX_LEAD = 0.2
# Passages from this one on are the background.
_BACKGROUND = 8

_WORDS = (
    "coverage", "joint_coverage", "sentence_coverage", "missing", "unknown", "terms", "coverage_lead",
)  # fmt: skip
WORD_FEATURES = (*_WORDS, "log_bm25")
VECTOR_FEATURES = ("best_cosine", "mean_cosine", "best_sentence", "cosine_lead", "sentence_lead", "cosine_z", "lead")
OWN_WORD_FEATURES = tuple(f"own_{name}" for name in _WORDS)
OWN_VECTOR_FEATURES = ("own_cosine", "own_sentence")
FEATURES = (*WORD_FEATURES, *VECTOR_FEATURES, *QUOTE_FEATURES, *OWN_WORD_FEATURES, *OWN_VECTOR_FEATURES)


@dataclass(frozen=True, slots=True)
class JudgedRanking:
    """A ranking with its features.

    Attributes:
        ranked: the passages, best first. There are no features if there are no passages.
        features: by name.
        is_follow_up: whether the query has words of an earlier question, so that there are `own_` features.
    """

    ranked: Sequence[RankedPassage]
    features: Mapping[str, float]
    is_follow_up: bool = False


class EvidenceMeter:
    """Computes the features of rankings over one index. Thread-safe."""

    def __init__(
        self,
        store: PassageStore,
        tokenizer: Tokenizer,
        encoder: Encoder,
        sentences: SentenceReranker,
        selector: SentenceSelector,
    ) -> None:
        self._store, self._tokenizer, self._encoder, self._sentences = store, tokenizer, encoder, sentences
        self._selector = selector

    def judged(
        self,
        queries: Sequence[str],
        rankings: Sequence[Sequence[RankedPassage]],
        questions: Sequence[str] | None = None,
        *,
        vectors: bool = True,
        quotes: bool = False,
    ) -> list[JudgedRanking]:
        """The rankings of `queries` with their features.

        Args:
            rankings: of `POOL` passages where there are as many: those further down are the background.
            questions: the question of each query, which differs from it if an earlier question was put before it.
            vectors: whether to compute the features that depend on the encoder.
            quotes: whether to compute those of the best quote, for which the sentences of the first passages are
                encoded.
        """
        questions = queries if questions is None else questions
        follow_ups = [question != query for question, query in zip(questions, queries, strict=True)]
        if vectors:
            rankings = self._with_sentences(queries, rankings)
            encoded = iter(
                self._encoder.encode_queries([q for q, is_one in zip(questions, follow_ups, strict=True) if is_one])
            )
        passages = self._store.counts()[1]
        judged = []
        for query, question, ranked, is_follow_up in zip(queries, questions, rankings, follow_ups, strict=True):
            own_vector = next(encoded) if vectors and is_follow_up else None
            features: dict[str, float] = {}
            if ranked:
                features |= self._word_features(query, ranked, passages)
                features["log_bm25"] = math.log1p(max(entry.bm25 for entry in ranked[:SCORED_PASSAGES]))
                if vectors:
                    features |= vector_features(ranked)
                if quotes:
                    features |= quote_features(self._selector, query, question, ranked)
            if ranked and is_follow_up:
                own = self._word_features(question, ranked, passages)
                features |= {f"own_{name}": value for name, value in own.items()}
            if ranked and own_vector is not None:
                features |= self._own_vector_features(own_vector, ranked[:SCORED_PASSAGES])
            judged.append(JudgedRanking(ranked, features, is_follow_up))
        return judged

    def _with_sentences(
        self, queries: Sequence[str], rankings: Sequence[Sequence[RankedPassage]]
    ) -> list[Sequence[RankedPassage]]:
        """The rankings with the best sentence of each scored passage, which a search by words alone leaves out."""
        missing = [n for n, r in enumerate(rankings) if any(e.sentence == 0.0 for e in r[:SCORED_PASSAGES])]
        completed = list(rankings)
        vectors = self._encoder.encode_queries([queries[n] for n in missing])
        for n, vector in zip(missing, vectors, strict=True):
            head = rankings[n][:SCORED_PASSAGES]
            rows = self._sentences.sentence_vectors([entry.passage for entry in head])
            best = [float((rows[entry.passage.id] @ vector).max()) for entry in head]
            head = [replace(entry, sentence=cosine) for entry, cosine in zip(head, best, strict=True)]
            completed[n] = [*head, *rankings[n][SCORED_PASSAGES:]]
        return completed

    def _word_features(self, text: str, ranked: Sequence[RankedPassage], passages: int) -> dict[str, float]:
        terms = self._tokenizer.query_terms(text)
        frequencies = lexical.document_frequencies(self._store, terms)
        weights = np.array([lexical.idf(frequencies[term], passages) for term in terms])
        known = np.array([frequencies[term] > 0 for term in terms], dtype=bool)

        def matching(texts: Sequence[str]) -> NDArray[np.float64]:
            keys = [self._tokenizer.keys(text) for text in texts]
            found = [[term.matches(keys_of) for term in terms] for keys_of in keys]
            return np.array(found, dtype=np.float64).reshape(len(texts), len(terms))

        whole = matching([passage_text(e.passage) for e in ranked])
        sentences = matching([text for e in ranked[:SCORED_PASSAGES] for text in _sentences(e.passage)])
        return word_features(weights, known, whole, sentences, lexical.idf(0, passages))

    def _own_vector_features(self, vector: NDArray[np.float32], head: Sequence[RankedPassage]) -> dict[str, float]:
        stored = self._store.vectors_by_digest([embedded_digest(entry.passage) for entry in head])
        sentences = self._sentences.sentence_vectors([entry.passage for entry in head])
        return {
            "own_cosine": max((float(vector @ other) for other in stored.values()), default=0.0),
            "own_sentence": max(float((rows @ vector).max()) for rows in sentences.values()),
        }


def vector_features(ranked: Sequence[RankedPassage]) -> dict[str, float]:
    """The features of cosines, all with the query. `ranked` is not empty."""
    head, background = ranked[:SCORED_PASSAGES], ranked[_BACKGROUND:] or ranked[1:] or ranked
    best, sentence = (max(entry.dense for entry in head), max(entry.sentence for entry in head))
    cosines = np.array([entry.dense for entry in background])
    level = float(cosines.mean())
    return {
        "best_cosine": best,
        "mean_cosine": sum(entry.dense for entry in ranked[:3]) / len(ranked[:3]),
        "best_sentence": sentence,
        "cosine_lead": best - level,
        "sentence_lead": sentence - level,
        # In an index with a handful of passages the deviation may be 0.
        "cosine_z": (best - level) / (float(cosines.std()) + 0.02),
        "lead": min(_MAX_LEAD, ranked[0].score - ranked[1].score) if len(ranked) > 1 else 0.0,
    }


def word_features(
    weights: NDArray[np.float64],
    known: NDArray[np.bool_],
    passages: NDArray[np.float64],
    sentences: NDArray[np.float64],
    highest: float,
) -> dict[str, float]:
    """The features of a question's words.

    Args:
        weights: `[terms]`, the idf of each.
        known: `[terms]`, whether the term occurs in any passage of the index.
        passages: `[passages, terms]`, whether the passage, best first, holds the term: 0 or 1.
        sentences: `[sentences, terms]`, the same for each sentence of the first passages with its title and heading.
        highest: the idf of a term that occurs nowhere.
    """
    total = float(weights.sum()) or 1.0
    covered = passages @ weights / total
    joint = passages[:SCORED_PASSAGES].max(axis=0)
    background = covered[_BACKGROUND:] if len(covered) > _BACKGROUND else covered[1:]
    best = float(covered[:SCORED_PASSAGES].max())
    return {
        "coverage": best,
        "joint_coverage": float(joint @ weights) / total,
        "sentence_coverage": float((sentences @ weights).max()) / total,
        # The rarest word of the question that the evidence lacks.
        "missing": float((weights * (1 - joint)).max(initial=0.0)) / highest,
        "unknown": float(weights[~known].sum()) / total,
        "terms": math.log1p(len(weights)),
        "coverage_lead": best - (float(background.mean()) if len(background) else 0.0),
    }


def _sentences(passage: Passage) -> list[str]:
    start = embedded_text(passage.title, passage.heading, "")
    spans = sentences_by_line(passage.text) or [(0, len(passage.text))]
    return [f"{start}\n{passage.text[first:last]}" for first, last in spans]
