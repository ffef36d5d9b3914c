"""What the tests of evaluation share: the small house of the chains' tests, and questions about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "chains"))

from house import make_index

from evaluation import Item
from retrieval import Index
from soft_prompt import Backbone, PrefixStore


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The house's passages; nothing writes to them."""
    with make_index(tmp_path_factory.mktemp("house")) as index:
        yield index


@pytest.fixture
def store(make_tiny_backbone: Callable[..., Backbone]) -> Iterator[PrefixStore]:
    store = PrefixStore(make_tiny_backbone("llama", max_position_embeddings=4096))
    yield store
    store.close()


@pytest.fixture
def items() -> list[Item]:
    """Two questions that the documents answer, one of them a follow-up, and one that they do not."""
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


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models run faster on one thread than on several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
