"""The real MiniLM from its package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from retrieval import Encoder, EncoderError, load_encoder
from retrieval.encoders.load import PACKAGED

MINILM = PACKAGED["minilm"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("minilm")


def test_the_weights_are_the_ones_named(encoder: Encoder) -> None:
    assert hashlib.sha256(MINILM.checked_file().read_bytes()).hexdigest() == MINILM.sha256
    assert encoder.id == f"all-MiniLM-L6-v2@sha256:{MINILM.sha256}"
    assert isinstance(encoder, Encoder)


def test_rows_are_unit_vectors_in_the_order_asked(encoder: Encoder) -> None:
    texts = ["a short one", "a much longer one " * 12, "", "another"] * 12
    done: list[int] = []
    vectors = encoder.encode(texts, done.append)
    assert vectors.shape == (48, encoder.dimension) == (48, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors[:4], vectors[44:], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[1:2])[0], vectors[1], atol=1e-5)
    assert done == [32, 48]
    assert encoder.encode([]).shape == (0, 384)


def test_tokens_are_counted_beyond_the_window(encoder: Encoder) -> None:
    assert encoder.window == 256
    assert encoder.count_tokens("hello world") == 4  # with [CLS] and [SEP]
    assert encoder.count_tokens("word " * 1000) == 1002


def test_a_paraphrase_is_nearer_than_a_foreign_sentence(encoder: Encoder) -> None:
    question, paraphrase, foreign = encoder.encode(
        [
            "How long do I have to dispute a card payment?",
            "You can contest a charge on your card within 120 days.",
            "The clinic opens at eight in the morning.",
        ]
    )
    assert question @ paraphrase > question @ foreign + 0.2


def test_a_local_folder_is_bound_by_its_weights(encoder: Encoder) -> None:
    folder = str(MINILM.checked_file().parent)
    local = load_encoder(folder)
    assert local.id.startswith(f"{folder}@sha256:")
    np.testing.assert_allclose(local.encode(["text"]), encoder.encode(["text"]), atol=1e-6)


def test_an_encoder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(str(tmp_path / "nothing"))


def test_batches_hold_little_padding(encoder: Encoder) -> None:
    # A digit is one token, as a long word is, so the number of characters misleads.
    texts = [("7 " * size if size % 2 else "wonderful " * size).strip() for size in range(1, 97)]
    read: list[int] = []
    model = encoder._model  # type: ignore[attr-defined]
    watched = model[0].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]["input_ids"].numel()))
    encoder.encode(texts)
    watched.remove()
    longest_last = sorted(map(encoder.count_tokens, texts))
    assert read == [32 * longest_last[end] for end in (31, 63, 95)]
