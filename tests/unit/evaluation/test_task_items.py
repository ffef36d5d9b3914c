"""Examples of tasks: how dev is cut from train."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from evaluation import Item
from evaluation.task_items import DEV_MOST, stratified_split, task_line


def labelled(counts: dict[str, int]) -> list[Item]:
    return [
        Item(id=f"{label}{number}", question=f"{label} {number}", answers=(label,))
        for number in range(max(counts.values(), default=0))
        for label, count in counts.items()
        if number < count
    ]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=1))
def test_every_label_is_in_train_and_dev(counts: dict[str, int]) -> None:
    items = labelled(counts)
    train, dev = stratified_split(items)
    assert sorted(item.id for item in [*train, *dev]) == sorted(item.id for item in items)
    in_train, in_dev = (Counter(item.target for item in part) for part in (train, dev))
    assert set(in_train) == set(counts)
    assert set(in_dev) == {label for label, count in counts.items() if count > 1}
    assert stratified_split(items) == (train, dev)


def test_an_id_of_the_data_is_kept_and_a_line_number_is_not() -> None:
    item = Item(id="line-item-3", question="Why?", answers=("a",))
    assert json.loads(task_line(item, "classification")) == {"id": "line-item-3", "text": "Why?", "label": "a"}
    numbered = item.model_copy(update={"id": "line-3"})
    assert json.loads(task_line(numbered, "classification")) == {"text": "Why?", "label": "a"}


def test_dev_is_as_large_as_it_should_be() -> None:
    train, dev = stratified_split(labelled(dict.fromkeys("ab", 20)))
    assert (len(train), Counter(item.target for item in dev)) == (34, Counter(a=3, b=3))
    _, dev = stratified_split(labelled(dict.fromkeys("abcd", 1000)))
    assert abs(len(dev) - DEV_MOST) <= 2
