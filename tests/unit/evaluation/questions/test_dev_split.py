"""Cutting a dev set from train."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import Item
from evaluation.questions.dev_split import cut_dev, dev_size
from evaluation.task_items import DEV_MOST

GROUPED = st.lists(st.integers(0, 12), max_size=80).map(
    lambda groups: [Item(id=str(number), question="?", group=f"g{group}") for number, group in enumerate(groups)]
)


@given(GROUPED)
def test_the_dev_split_shares_no_group_and_loses_no_question(items: list[Item]) -> None:
    train, dev = cut_dev(items)
    sizes = Counter(entry.group for entry in items)
    # Where every group holds more than half of the questions, they are split one by one.
    by_group = any(2 * size <= len(items) for size in sizes.values())
    assert not by_group or not {entry.group for entry in train} & {entry.group for entry in dev}
    assert sorted([*train, *dev], key=lambda entry: int(entry.id)) == items
    assert [entry.id for entry in dev] == sorted((entry.id for entry in dev), key=int)
    assert cut_dev(items) == (train, dev)
    # At most half of the questions go to dev.
    assert len(dev) <= len(items) / 2
    assert len(dev) <= dev_size(len(items)) + max(sizes.values(), default=0)


@given(GROUPED)
def test_the_dev_split_does_not_depend_on_the_order(items: list[Item]) -> None:
    _, dev = cut_dev(items)
    _, again = cut_dev(items[::-1])
    assert {entry.id for entry in dev} == {entry.id for entry in again}


def test_questions_without_groups_make_a_dev_set_of_the_intended_size() -> None:
    items = [Item(id=str(number), question="?") for number in range(2000)]
    assert len(cut_dev(items)[1]) == DEV_MOST
    assert len(cut_dev(items[:200])[1]) == 30


def test_a_group_with_nearly_all_questions_stays_in_train() -> None:
    items = [Item(id=str(n), question="?", group="big" if n < 90 else f"small {n}") for n in range(100)]
    train, dev = cut_dev(items)
    assert sum(entry.group == "big" for entry in train) == 90
    assert len(dev) == 10


def test_questions_about_one_document_are_split_one_by_one() -> None:
    items = [Item(id=str(n), question="?", doc_id="handbook") for n in range(30)]
    train, dev = cut_dev(items)
    assert (len(train), len(dev)) == (23, 7)


@pytest.mark.parametrize(
    ("questions", "dev"), [(0, 0), (3, 0), (4, 1), (20, 5), (30, 7), (40, 10), (66, 10), (80, 12), (5000, 150)]
)
def test_a_small_set_gives_a_larger_share(questions: int, dev: int) -> None:
    assert dev_size(questions) == dev
