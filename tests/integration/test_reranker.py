"""The optional reranker: a real cross-encoder with random weights, from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import Encoder, Index, PairScorer, RerankerError, ingest, load_reranker, open_index
from retrieval.documents import embedded_text
from retrieval.encoders.cross_encoder import CROSS_ENCODER_DEPTH
from tests.support.hashing_encoder import HashingEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "card", "fee", "the", "of", "a", "gate", "bell"]


def save_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A BERT with a few thousand random weights and one or more scores per pair."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return HashingEncoder()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> PairScorer:
    return load_reranker(str(save_cross_encoder(tmp_path_factory.mktemp("reranker"))))


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder, scorer: PairScorer) -> Iterator[Index]:
    rows = [
        f'{{"id": "r{n}", "text": "{" ".join(WORDS[4 + (n + i) % 7] for i in range(2 + n % 5))}"}}' for n in range(20)
    ]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder, scorer) as opened:
        yield opened


def test_the_best_passages_are_in_the_order_of_the_scores(index: Index, scorer: PairScorer) -> None:
    query = "the fee of a card"
    results = index.search(query, 20)
    texts = [embedded_text(e.passage.title, e.passage.heading, e.passage.text) for e in results[:CROSS_ENCODER_DEPTH]]
    scores = scorer([(query, text) for text in texts])
    assert [e.score for e in results[:CROSS_ENCODER_DEPTH]] == pytest.approx(scores.tolist(), abs=1e-6)
    assert len({round(float(score), 4) for score in scores}) > 3
    assert [e.score for e in results] == sorted((e.score for e in results), reverse=True)
    assert len({e.passage.id for e in results}) == len(results)
    assert all(0 <= e.score <= 1 for e in results[:CROSS_ENCODER_DEPTH])


def test_it_chooses_among_the_same_passages(index: Index, tmp_path: Path, encoder: Encoder) -> None:
    with open_index(tmp_path / "index", encoder) as plain:
        usual = plain.search("gate bell", CROSS_ENCODER_DEPTH)
    results = index.search("gate bell", CROSS_ENCODER_DEPTH)
    assert {e.passage.id for e in results} == {e.passage.id for e in usual}
    assert [e.passage.id for e in results] != [e.passage.id for e in usual]
    # Without reranking, the fused order remains.
    assert index.search("gate bell", 3, rerank=False)[0].score < 0.1


def test_what_is_no_reranker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RerankerError, match="has 3 scores per pair"):
        load_reranker(str(save_cross_encoder(tmp_path / "three", labels=3)))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RerankerError, match=r"cannot be loaded.*reranker: null"):
        load_reranker(str(empty))
