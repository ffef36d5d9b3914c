"""Fixtures of the evaluation tests: an index over the small bank, and questions about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evaluation import Item
from retrieval import Index
from soft_prompt import Backbone, PrefixStore
from tests.support.small_bank import make_index


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index over the small bank; no test may change it."""
    with make_index(tmp_path_factory.mktemp("bank")) as index:
        yield index


@pytest.fixture
def store(make_tiny_backbone: Callable[..., Backbone]) -> Iterator[PrefixStore]:
    store = PrefixStore(make_tiny_backbone("llama", max_position_embeddings=4096))
    yield store
    store.close()


@pytest.fixture
def items() -> list[Item]:
    """Two questions that the documents answer, one of them a follow-up, and one unanswerable question."""
    return [
        Item(
            id="1",
            question="What does a replacement card cost?",
            answers=("12 euros",),
            response="A replacement card costs 12 euros.",
            doc_id="cards",
            quote="A replacement card costs 12 euros and arrives within 5 days.",
        ),
        Item(
            id="2",
            question="And overseas?",
            answers=("15 euros",),
            doc_id="transfers",
            quote="A transfer overseas costs 15 euros.",
            history=(("What does a transfer inside the country cost?", "It is free."),),
        ),
        Item(id="3", question="Do you treat horses?", answerable=False, response="None of our leaflets says so."),
    ]
