"""How well the soft prompt of each domain answers the questions of the others: a matrix, and predictors of it."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from evaluation import Estimate, System, evaluate, paired_difference
from evaluation.items import spread
from evaluation.rows import split_file
from evaluation.systems import SystemAnswers
from soft_prompt import load_soft_prompt
from soft_prompt.files import write_bytes
from soft_prompt.training.distributed import is_distributed
from softgraft.assembly.answers import make_speaker
from softgraft.assembly.evaluation import held_out
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.charts import matrix_figure
from softgraft.jobs.source import require_together
from softgraft.sources.shelf import SOFT_PROMPT, Source, read_source
from softgraft.sources.start import unlike
from softgraft.training.task import OnStep

# Rows that no soft prompt answers.
BASELINES = ("quote", "text-twin")
OnCell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class TransferCell:
    """One soft prompt asked the questions of one domain.

    Attributes:
        trained_on: a domain, or a baseline.
        labels: number of questions of the asked domain that training went on with; 0 for none.
        accuracy, token_f1: means, 0 to 1, over the answerable questions.
        minus_text_twin: paired difference in token F1.
    """

    trained_on: str
    asked: str
    labels: int
    questions: int
    accuracy: float | None
    token_f1: float
    minus_text_twin: Estimate | None


@dataclass(frozen=True, slots=True)
class Predictor:
    """What is known of a pair of domains before one is asked with the other's soft prompt.

    Attributes:
        prompt_cosine: of the two soft prompts, each the mean over its positions (SPoT: Vu et al. 2022,
            arXiv:2110.07904); None if they have other shapes, or are adapters, which have no vectors of their own.
        document_distance: 1 - cosine of the mean passage vectors of the two domains.
    """

    trained_on: str
    asked: str
    prompt_cosine: float | None
    document_distance: float


@dataclass(frozen=True, slots=True)
class TransferReport:
    """The matrix, and Spearman's rank correlation of each predictor with the gain over the text twin."""

    domains: tuple[str, ...]
    split: str
    cells: tuple[TransferCell, ...]
    predictors: tuple[Predictor, ...]
    correlations: dict[str, float | None]


def measure_transfer(
    domains: Sequence[Domain],
    *,
    split: Literal["dev", "test"] = "test",
    limit: int | None = None,
    labels: int = 0,
    work: Path = Path("grafts") / ".transfer",
    on_cell: OnCell | None = None,
    on_step: OnStep | None = None,
) -> TransferReport:
    """Ask the questions of every domain with the soft prompt of every other.

    Args:
        split, limit: which questions, and at most how many of each domain.
        labels: if above 0, each soft prompt is also trained further on this number of train questions of the asked
            domain, in the folder `work`.
        on_cell: called with the asked domain, the number of finished systems and of all.

    Raises:
        UsageError: if there are fewer than two domains, they do not fit together, or one is not trained.
    """
    if is_distributed():
        raise UsageError(
            found="transfer in several processes", expected="one process", next_step="start it without a launcher"
        )
    require_together(domains, ())
    if len(domains) < 2:
        raise UsageError(found="one domain", expected="at least two", next_step="softgraft transfer bank,clinic")
    sources = [_trained(domain) for domain in domains]
    if labels:
        _require_continuable(domains, sources)
    predictors = _predictors(domains, sources)
    cells: list[TransferCell] = []
    for domain in domains:
        systems = [*baselines(domain), *(source_system(domain, source.name, source) for source in sources)]
        for source in sources if labels else ():
            if source.name != domain.file.name:
                folder = work / f"{source.name}-{domain.file.name}-{labels}"
                further = train_further(domain, source, labels, folder, on_step)
                systems.append(source_system(domain, f"{source.name}+{labels}", further))
        cells += _cells(domain, systems, split, limit, on_cell)
    return TransferReport(
        tuple(domain.file.name for domain in domains),
        split,
        tuple(cells),
        tuple(predictors),
        _correlations(cells, predictors),
    )


def _trained(domain: Domain) -> Source:
    manifest = domain.manifest
    if manifest is None:
        raise UsageError(
            found=f"{domain.cli_name} has no trained soft prompt",
            expected="trained domains",
            next_step=f"softgraft train {domain.cli_name}",
        )
    source = read_source(domain.build)
    return replace(source, card=source.card.model_copy(update={"name": domain.file.name}))


def _require_continuable(domains: Sequence[Domain], sources: Sequence[Source]) -> None:
    """Refuse soft prompts that training cannot continue with the settings of a domain that is asked."""
    for domain in domains:
        for source in sources:
            if problems := unlike(source.manifest, domain.file.train):
                raise UsageError(
                    found=f"the soft prompt of {source.name} and `train:` of {domain.cli_name}: {', '.join(problems)}",
                    expected="settings that continue the soft prompt of every other domain",
                    next_step="train all domains with the same settings, or leave out --labels",
                )


def baselines(domain: Domain) -> list[System]:
    """What needs no training: the quote, and the text twin."""
    return [
        System("quote", domain.answering("text-twin", form="quote"), "retrieved"),
        System("text-twin", domain.answering("text-twin", form="generate"), "retrieved"),
    ]


def source_system(domain: Domain, name: str, source: Source | None) -> System:
    """The domain with this source, or with the text twin."""
    if source is None:
        return System(name, domain.answering("text-twin", form="generate"), "retrieved")
    speaker = make_speaker(
        "source", domain.file, domain.build, domain.template, lambda: domain.store, domain.cli_name, source
    )
    return System(name, domain.answering("source", form="generate", speaker=speaker), "retrieved")


def train_further(
    domain: Domain, source: Source | None, labels: int, folder: Path, on_step: OnStep | None = None
) -> Source | None:
    """A source, or the text twin, trained on with some labels of a domain; the same if that is worse on dev."""
    grafting = replace(domain.grafting(start=False), source=source, folder=folder)
    data = grafting.training_set(spread(domain.items("train"), labels), domain.items("dev"))
    return read_source(folder) if grafting.train(data, on_step=on_step).report.kept else source


def _cells(
    domain: Domain, systems: Sequence[System], split: Literal["dev", "test"], limit: int | None, on_cell: OnCell | None
) -> list[TransferCell]:
    answerable = [item for item in domain.items(split) if item.answerable]
    asked = held_out(answerable, limit, split_file(domain.folder, split))
    done = 0

    def progress(_: str, replies: int, total: int) -> None:
        nonlocal done
        done += replies == total
        if on_cell is not None:
            on_cell(domain.file.name, min(done, len(systems)), len(systems))

    _, answers = evaluate(asked, systems, None, {}, on_progress=progress)
    twin = next(one for one in answers if one.system == "text-twin")
    cells = []
    for one in answers:
        name, _, labels = one.system.partition("+")
        accuracy = [a.accuracy for a in one.answers if a.accuracy is not None]
        cells.append(
            TransferCell(
                trained_on=name,
                asked=domain.file.name,
                labels=int(labels or 0),
                questions=len(asked),
                accuracy=round(statistics.mean(accuracy), 4) if accuracy else None,
                token_f1=round(statistics.mean(_f1(one)), 4),
                minus_text_twin=None if one is twin else paired_difference(_f1(one), _f1(twin)),
            )
        )
    return cells


def _f1(answers: SystemAnswers) -> list[float]:
    return [answer.f1 or 0.0 for answer in answers.answers]


def _predictors(domains: Sequence[Domain], sources: Sequence[Source]) -> list[Predictor]:
    prompts, documents = (
        [_prompt_vector(d, s) for d, s in zip(domains, sources, strict=True)],
        [domain.index.mean_vector() for domain in domains],
    )
    return [
        Predictor(
            sources[i].name,
            domains[j].file.name,
            _prompt_cosine(prompts[i], prompts[j]),
            round(1 - _cosine(documents[i], documents[j]), 4),
        )
        for i in range(len(domains))
        for j in range(len(domains))
        if i != j
    ]


def _prompt_vector(domain: Domain, source: Source) -> NDArray[Any] | None:
    """The mean over the positions of a soft prompt, as one vector; None for an adapter."""
    loaded = load_soft_prompt(source.folder / SOFT_PROMPT, domain.store.backbone)
    assert loaded is not None
    if loaded[0].kind == "adapter":
        return None
    vectors = loaded[0].vectors.detach().to("cpu", torch.float32)
    return vectors.mean(dim=3 if loaded[0].kind == "kv" else 0).flatten().numpy()


def _prompt_cosine(a: NDArray[Any] | None, b: NDArray[Any] | None) -> float | None:
    return None if a is None or b is None or a.shape != b.shape else round(_cosine(a, b), 4)


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b))))


def _correlations(cells: Sequence[TransferCell], predictors: Sequence[Predictor]) -> dict[str, float | None]:
    """Spearman's rank correlation with the gain; None with fewer than three pairs, or if a predictor is constant."""
    gains = {(cell.trained_on, cell.asked): cell.minus_text_twin for cell in cells if not cell.labels}
    pairs = [(one, gain.mean) for one in predictors if (gain := gains[one.trained_on, one.asked]) is not None]
    found: dict[str, float | None] = {}
    for name in ("prompt_cosine", "document_distance"):
        known = [(float(value), gain) for one, gain in pairs if (value := getattr(one, name)) is not None]
        values, outcome = [value for value, _ in known], [gain for _, gain in known]
        if len(known) < 3 or len(set(values)) < 2 or len(set(outcome)) < 2:
            found[name] = None
            continue
        found[name] = round(float(spearmanr(values, outcome).statistic), 3)
    return found


def save_heat_map(report: TransferReport, path: Path) -> None:
    """The token F1 of the matrix as a PNG file."""
    rows = [*BASELINES, *report.domains]
    values = {(cell.trained_on, cell.asked): cell.token_f1 for cell in report.cells if not cell.labels}
    grid = [[values[row, column] for column in report.domains] for row in rows]
    figure = matrix_figure(rows, report.domains, grid, f"asked (token F1, {report.split})")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
