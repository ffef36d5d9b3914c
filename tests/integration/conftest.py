"""The real backbone and encoder, loaded once per process, and the page over small domains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from api_server import Server, serve

from retrieval import Encoder, load_encoder
from soft_prompt import Backbone

if TYPE_CHECKING:
    from page_server import PageServer


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """SmolLM2-135M-Instruct in fp32, so that results do not depend on the processor; no test may change it."""
    return Backbone.load(dtype=torch.float32)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """MiniLM, which is quicker than the default."""
    return load_encoder("minilm")


@pytest.fixture(scope="module")
def page_api(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[Server]:
    """A model behind an API, whose replies a test sets."""
    monkeypatch_module.setenv("OPENAI_API_KEY", "sk-test")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch_module.delenv(name, raising=False)
        monkeypatch_module.delenv(name.lower(), raising=False)
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def page_folders(
    page_api: Server, make_tiny_backbone: Callable[..., Backbone], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The folders of two domains, which the tests of a module share."""
    from page_server import write_domains

    made = make_tiny_backbone("llama", seed=0, num_hidden_layers=1, max_position_embeddings=2048)
    folder = tmp_path_factory.mktemp("backbone")
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return write_domains(tmp_path_factory.mktemp("page"), folder, page_api)


@pytest.fixture(scope="module")
def page(page_folders: dict[str, Path]) -> Iterator[PageServer]:
    """The page over these domains, at `page.address`."""
    from page_server import running_server

    with running_server(page_folders) as server:
        yield server
