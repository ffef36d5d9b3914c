"""The splits of a domain: which file, and what is cut from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation import ItemsError
from softgraft.settings.question_files import has_split, read_questions


def write(path: Path, count: int) -> None:
    rows = [{"question": f"Question {n}?", "answers": [str(n)], "group": f"g{n // 2}"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_dev_is_cut_from_train_only_if_it_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 40)
    train, dev = (read_questions(tmp_path, split, tmp_path / "build") for split in ("train", "dev"))
    assert (len(train.items), len(dev.items)) == (30, 10)
    assert not {item.group for item in train.items} & {item.group for item in dev.items}
    assert (train.report.cut, dev.report.cut, dev.report.file) == (40, 40, "train.jsonl")
    write(tmp_path / "dev.jsonl", 6)
    train, dev = (read_questions(tmp_path, split, tmp_path / "build") for split in ("train", "dev"))
    assert (len(train.items), len(dev.items), train.report.cut, dev.report.cut) == (40, 6, None, None)


def test_a_split_may_be_csv(tmp_path: Path) -> None:
    assert not has_split(tmp_path, "dev")
    (tmp_path / "train.csv").write_text("question,answers,note\nWhat?,this,x\n")
    assert [has_split(tmp_path, split) for split in ("train", "dev", "test")] == [True, True, False]
    found = read_questions(tmp_path, "train", tmp_path / "build")
    assert (found.report.file, found.report.ignored_columns, len(found.items)) == ("train.csv", ("note",), 1)
    with pytest.raises(ItemsError, match=r"test\.jsonl cannot be read"):
        read_questions(tmp_path, "test", tmp_path / "build")
