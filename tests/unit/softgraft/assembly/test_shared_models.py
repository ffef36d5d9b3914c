"""Domains share a backbone and an encoder while one of them uses it, and nothing else."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chains.errors import ClosedError
from softgraft import Domain, open_domain
from softgraft.assembly.shared_models import shared
from tests.support.hashing_encoder import HashingEncoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
QUESTION = {"question": "What does a replacement card cost?"}


class Model:
    """Something that can be shared."""


def test_one_model_is_loaded_per_arguments_and_released_with_its_last_user() -> None:
    loaded: list[tuple[object, ...]] = []

    def load(*arguments: object) -> Model:
        loaded.append(arguments)
        return Model()

    first, second, other = shared(load, "a", 1), shared(load, "a", 1), shared(load, "a", 2)
    assert first is second
    assert first is not other
    assert loaded == [("a", 1), ("a", 2)]
    held = weakref.ref(first)
    del first, second
    gc.collect()
    assert held() is None
    shared(load, "a", 1)
    assert loaded == [("a", 1), ("a", 2), ("a", 1)]


def test_callers_at_the_same_time_get_one_model() -> None:
    together = threading.Barrier(8)
    loaded: list[Model] = []

    def load(name: str) -> Model:
        loaded.append(Model())
        return loaded[-1]

    def ask() -> Model:
        together.wait(timeout=10)
        return shared(load, "a")

    with ThreadPoolExecutor(8) as pool:
        models = [future.result(timeout=10) for future in [pool.submit(ask) for _ in range(8)]]
    assert len(loaded) == 1
    assert set(models) == set(loaded)


def test_a_slow_model_does_not_hold_up_another() -> None:
    go_on = threading.Event()

    def load(name: str) -> Model:
        assert name == "quick" or go_on.wait(timeout=10)
        return Model()

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shared, load, "slow")
        assert shared(load, "quick")
        assert not slow.done()
        go_on.set()
        assert slow.result(timeout=10)


def test_a_failed_load_is_tried_again() -> None:
    attempts: list[str] = []

    def load(name: str) -> Model:
        attempts.append(name)
        if len(attempts) == 1:
            raise OSError("interrupted")
        return Model()

    with pytest.raises(OSError, match="interrupted"):
        shared(load, "a")
    assert isinstance(shared(load, "a"), Model)


def test_a_folder_whose_files_were_replaced_is_loaded_again(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")

    class Bytes:
        def __init__(self, name: str) -> None:
            self.content = weights.read_bytes()

    first = shared(Bytes, str(tmp_path))
    assert shared(Bytes, str(tmp_path)) is first
    weights.write_bytes(b"two")
    os.utime(weights, ns=(1, 1))
    assert shared(Bytes, str(tmp_path)).content == b"two"
    assert first.content == b"one"


@pytest.mark.heavy
def test_domains_share_a_backbone_but_no_cache(
    make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch, backbone_folders: tuple[Path, Path]
) -> None:
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    one, two = (open_domain(make_domain(name, ingest=True).folder) for name in ("one", "two"))
    assert one.encoder is two.encoder
    answers = [domain.chain.invoke(QUESTION)["answer"] for domain in (one, two)]
    assert answers[0] == answers[1]
    assert one.store.backbone is two.store.backbone
    assert one.store is not two.store
    # Another number format or other weights are another model.
    half = open_domain(make_domain("half", dtype="bfloat16").folder)
    other = open_domain(make_domain("other", backbone=str(backbone_folders[1])).folder)
    assert len({id(domain.store.backbone.model) for domain in (one, half, other)}) == 3
    # Closing one leaves the other open.
    chain = one.chain
    one.close()
    with pytest.raises(ClosedError):
        chain.invoke(QUESTION)
    assert two.chain.invoke(QUESTION)["answer"] == answers[1]
    held = weakref.ref(two.store.backbone.model)
    two.close()
    del chain
    gc.collect()
    assert held() is None
    half.close()
    other.close()
