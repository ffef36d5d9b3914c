"""The real backbone and encoder, loaded once per process."""

from __future__ import annotations

import pytest
import torch

from retrieval import Encoder, load_encoder
from soft_prompt import Backbone


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """SmolLM2-135M-Instruct in fp32, so that results do not depend on the processor; no test may change it."""
    return Backbone.load(dtype=torch.float32)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """MiniLM, which is quicker than the default."""
    return load_encoder("minilm")
