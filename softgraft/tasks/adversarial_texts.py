"""What domain-adversarial training of a classification domain reads besides its own examples.

Unlabelled texts come from `unlabelled.jsonl` in the domain's folder, labelled ones of other domains from their folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from evaluation.errors import ItemsError
from evaluation.items import Item, items_hash
from evaluation.rows import RowFormat, read_data_file, split_file
from evaluation.task_items import read_task_file, stratified_split
from soft_prompt import TrainedOn
from softgraft.errors import UsageError
from softgraft.settings.domain_file import TrainSettings, read_domain_file
from softgraft.settings.question_files import read_split
from softgraft.tasks.training import TaskTraining
from softgraft.tasks.work import TaskWork
from softgraft.training.methods import AdversarialTexts, named_folders

UNLABELLED = "unlabelled"


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def adversarial_texts(work: TaskWork, settings: TrainSettings) -> AdversarialTexts:
    """The unlabelled texts of a domain, and the labelled ones of the domains that the settings name, as prompts.

    Raises:
        UsageError: if there are neither, or a named domain does not classify into this domain's labels.
        ItemsError: if a file is malformed.
    """
    folder, task = work.domain.folder, TaskTraining(work)
    names = [name.strip() for name in (settings.adversarial_from or "").split(",") if name.strip()]
    others = named_folders(names, "name domains that exist: --adversarial-from DOMAIN,DOMAIN")
    texts = read_unlabelled(folder)
    if not texts and not others:
        raise UsageError(
            found=f"no {split_file(folder, UNLABELLED)}, and no other domain to learn from",
            expected="texts of two domains, so that the soft prompt learns not to tell them apart",
            next_step='write lines {"text": ...} to that file, or name domains with the same labels: '
            "--adversarial-from DOMAIN,DOMAIN",
        )
    labelled = []
    for other in others:
        items, licence = _examples(other, work)
        prompted, _ = task.prompted(items, teach=True)
        trained_on = TrainedOn(domain=other.name, licence=licence, questions=len(items), data_hash=items_hash(items))
        labelled.append((trained_on, prompted))
    prompts = work.prompts(work.domain.speaker("text-twin").prepare).prompts(texts, work.lookup(teach=True))
    return AdversarialTexts([prompt.model_input for prompt in prompts], labelled)


def read_unlabelled(folder: Path) -> list[str]:
    """The texts of `unlabelled.jsonl` or `unlabelled.csv` in a domain's folder; none if there is no such file.

    Only the column `text` is read.

    Raises:
        ItemsError: if the file is malformed, or there are both.
    """
    path = split_file(folder, UNLABELLED)
    if not path.is_file():
        return []
    expected = 'one JSON object per line, {"text": ...}, or a CSV file with this column, without empty texts'
    return [line.text for _, line in read_data_file(path, RowFormat(_Line, expected), create=f"write {path}").rows]


def _examples(folder: Path, work: TaskWork) -> tuple[Sequence[Item], str]:
    """The train examples of another domain, whose labels are all among this one's, and its licence."""
    file, own = read_domain_file(folder), work.domain
    if file.task != "classification" or folder.resolve() == own.folder.resolve():
        same = folder.resolve() == own.folder.resolve()
        raise UsageError(
            found=f"{folder} as another domain of {own.cli_name}" if same else f"{folder} has the task {file.task}",
            expected="other domains with the task classification",
            next_step=f"leave out {folder.name} in adversarial_from",
        )
    found = read_split(folder, "train", partial(read_task_file, task="classification"), stratified_split)
    if unknown := sorted({item.target for item in found.items} - set(work.verbalizer.words)):
        raise ItemsError(
            found=f"{folder / found.report.file}: {len(unknown)} labels that {own.cli_name} does not have: "
            f"{', '.join(unknown[:5])}",
            expected=f"labels of {own.folder / 'labels.yaml'} alone",
            next_step="add them to that file and examples of them to its train.jsonl, or name another domain",
        )
    return found.items, file.licence
