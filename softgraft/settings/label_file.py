"""labels.yaml: the labels of a classification domain and the words of each. Users may edit the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from chains.errors import InputError
from chains.tasks.verbalizer import Verbalizer, default_words
from evaluation.items import Item
from prompts.yaml_document import parse_yaml, read_text
from softgraft.errors import DomainError

FILE = "labels.yaml"
_NOTE = """# label: its words. The model scores how likely the words are, so write what it would say.
# After a change: softgraft train.
"""


def labels_of(items: Sequence[Item]) -> dict[str, str]:
    """The labels of examples, sorted, each with the words of its name.

    Raises:
        InputError: if there are fewer than two labels, or two have the same words.
    """
    words = {label: default_words(label) for label in sorted({item.target for item in items})}
    return dict(Verbalizer(words).words)


def write_labels(folder: Path, words: Mapping[str, str]) -> None:
    """Write labels.yaml into a domain's folder."""
    text = yaml.safe_dump(dict(words), allow_unicode=True, sort_keys=False, width=110)
    (folder / FILE).write_text(_NOTE + text, encoding="utf-8")


def read_labels(folder: Path) -> Verbalizer:
    """Read labels.yaml of a domain's folder.

    Raises:
        DomainError: if the file is missing or malformed.
    """
    path = folder / FILE
    try:
        document = parse_yaml(read_text(path))
        document.require_unique_keys()
        data = document.data
        if not isinstance(data, dict) or not all(isinstance(x, str) for pair in data.items() for x in pair):
            raise ValueError("not a mapping of labels to words; quote labels and words that YAML reads as another type")
        return Verbalizer(data)
    except (OSError, ValueError, InputError) as error:
        found = error.found if isinstance(error, InputError) else str(error).replace("\n", " ")
        raise DomainError(
            found=f"{path}: {found}",
            expected="at least two lines `label: words`, each with different words",
            next_step=f"edit {path}",
        ) from error
