"""What an ingest fits to the questions of a domain, kept in its build folder, and the settings that overrule it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chains import AnswerSettings
from evaluation.items import Item
from retrieval import EvidenceScale, Index, load_scale, save_scale
from softgraft.calibration import calibrate
from softgraft.domain_file import DomainFile
from softgraft.weights import Weights, choose_weights, load_weights, save_weights, usual_weights

EVIDENCE, WEIGHTS = "evidence.json", "weights.json"

OnFit = Callable[[int, int], None]


def fit_weights(file: DomainFile, build: Path, index: Index, items: Sequence[Item], on_progress: OnFit) -> None:
    """Choose how much meaning and words count, where domain.yaml leaves both to be chosen."""
    path = build / WEIGHTS
    path.unlink(missing_ok=True)
    if file.retrieval.dense_weight == file.retrieval.bm25_weight == "auto":
        usual = usual_weights(file.language, file.encoder)
        save_weights(choose_weights(index, usual, items, on_progress), path)


def search_weights(file: DomainFile, build: Path) -> Weights:
    """Of the dense and the BM25 ranking: as domain.yaml says; where it says `auto`, as they were chosen.

    With only one `auto` nothing was chosen, and it has the usual value of the language.

    Raises:
        RetrievalError: the choice cannot be read.
    """
    dense, bm25 = file.retrieval.dense_weight, file.retrieval.bm25_weight
    if dense != "auto" and bm25 != "auto":
        return dense, bm25
    chosen = load_weights(build / WEIGHTS) if dense == bm25 else None
    found = chosen.weights if chosen else usual_weights(file.language, file.encoder)
    return found[0] if dense == "auto" else dense, found[1] if bm25 == "auto" else bm25


def fit_evidence(
    build: Path, index: Index, settings: AnswerSettings, train: Sequence[Item], dev: Sequence[Item], on_progress: OnFit
) -> EvidenceScale | None:
    """Fit the evidence score and keep it; where the questions do not allow one, forget that of before."""
    scale = calibrate(index, settings, [*train, *dev], on_progress) if train and dev else None
    if scale is not None:
        save_scale(scale, build / EVIDENCE)
    else:
        (build / EVIDENCE).unlink(missing_ok=True)
    return scale


def evidence_scale(file: DomainFile, build: Path) -> EvidenceScale | None:
    """The evidence score, with the threshold of domain.yaml where it names one; None where none was fitted.

    Raises:
        RetrievalError: the file cannot be read.
    """
    scale, threshold = load_scale(build / EVIDENCE), file.retrieval.evidence_threshold
    return scale if scale is None or threshold == "auto" else replace(scale, threshold=threshold)
