"""Which source graft a domain starts from, chosen on its dev questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.bootstrap import paired_difference
from evaluation.items import Item
from soft_prompt import SlotFill
from soft_prompt.training.distributed import init_distributed
from softgraft.settings.domain_file import DomainFile
from softgraft.sources.shelf import Source
from softgraft.sources.start import START, TEXT_TWIN, ChosenStart, save_start
from softgraft.training.grafting import Grafting
from softgraft.training.methods import sources_like
from softgraft.training.run_data import DevScoresByQuestion
from softgraft.training.task import OnScore

# With fewer dev questions the choice is noise.
MIN_QUESTIONS = 20


def choose_start(
    grafting: Grafting, file: DomainFile, build: Path, dev: Sequence[Item], *, on_score: OnScore | None = None
) -> ChosenStart | None:
    """Compare all sources that fit with the text twin on dev, and store the best one; None if there is no choice.

    A source is chosen only if it beats the text twin beyond chance: the 95% interval of the paired difference is above
    0. There is no choice if domain.yaml names the start, no source fits, or fewer than `MIN_QUESTIONS` dev questions
    reach the model.
    """
    backbone, report = grafting.chat.store.backbone, on_score or (lambda *_: None)
    devices, template = init_distributed(backbone.device), grafting.template.current()
    wanted = file.start == "auto" and file.text_task is None
    sources = sources_like(file, template, grafting.settings, backbone) if wanted else []
    examples = grafting.training_set((), dev).dev if sources else []
    if len(examples) < MIN_QUESTIONS:
        if devices.is_main_process:
            # A choice among other sources, or on other questions.
            (build / START).unlink(missing_ok=True)
        devices.barrier()
        return None
    slot = next(iter(template.soft_slots))

    def scores(fill: SlotFill, name: str) -> DevScoresByQuestion:
        return grafting.scores(examples, fill, name, report, devices)

    twin = scores(template.text_twin(slot), TEXT_TWIN)
    found: list[tuple[Source, DevScoresByQuestion]] = []
    for source, soft_prompt in sources:
        found.append((source, scores(soft_prompt, source.name)))
    source, best = max(found, key=lambda one: one[1].score)
    interval = paired_difference(best.deciding, twin.deciding)
    helps = interval is not None and interval.low > 0
    chosen = ChosenStart(
        source=str(source.folder.resolve()) if helps else "",
        vectors_sha256=source.manifest.vectors_sha256 if helps else "",
        questions=len(examples),
        scores={TEXT_TWIN: twin.score, **{one.name: of.score for one, of in found}},
    )
    if devices.is_main_process:
        build.mkdir(parents=True, exist_ok=True)
        save_start(chosen, build / START)
    devices.barrier()
    return chosen
