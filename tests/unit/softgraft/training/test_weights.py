"""How much meaning and words count: by language, by the domain's questions, by domain.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from house_domain import opened, write_items

from evaluation import Item
from retrieval import Index, RetrievalError, ingest, open_index
from retrieval.encoders.load import PACKAGED
from retrieval.ranking.index import DEFAULT_WEIGHTS
from softgraft import Domain
from softgraft.errors import DomainError
from softgraft.training.retrieval_fit import (
    BM25_ONLY,
    ChosenWeights,
    choose_weights,
    fit_weights,
    load_weights,
    usual_weights,
)
from tests.support.hashing_encoder import HashingEncoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
THINGS = [f"thing{n}" for n in range(32)]
RETRIEVAL = {"passages": 2, "evidence_tokens": 120, "passage_tokens": 32}


class Misled(HashingEncoder):
    """Takes each thing that is asked about for the next one."""

    def encode(self, texts: Any, progress: Any = None) -> Any:
        def seen(text: str) -> str:
            return re.sub(r"thing(\d+)", lambda found: f"thing{int(found[1]) + 1}", text) if "?" in text else text

        return super().encode([seen(text) for text in texts], progress)


@pytest.fixture(params=[HashingEncoder, Misled])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    rows = [{"id": word, "text": f"The {word} costs {n} euros" + " more" * (n % 7)} for n, word in enumerate(THINGS)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    encoder = request.param(dimension=2048)
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    with open_index(tmp_path / "index", encoder) as made:
        yield made


def asked(count: int) -> list[Item]:
    return [Item(id=word, question=f"How much money costs the {word} now?", doc_id=word) for word in THINGS[:count]]


def test_others_than_the_usual_are_taken_only_where_they_are_better(index: Index) -> None:
    tried: list[tuple[int, int]] = []
    chosen = choose_weights(index, DEFAULT_WEIGHTS, asked(32), lambda done, total: tried.append((done, total)))
    assert chosen.questions == 32
    assert chosen.ndcg_at_10 is not None
    assert chosen.usual_ndcg_at_10 is not None
    assert tried[-1][0] == tried[-1][1] == len(tried) > 3
    if isinstance(index.encoder, Misled):
        assert chosen.weights[0] / chosen.weights[1] < DEFAULT_WEIGHTS[0] / DEFAULT_WEIGHTS[1]
        assert chosen.ndcg_at_10 > chosen.usual_ndcg_at_10
    else:
        assert chosen.weights == DEFAULT_WEIGHTS
        assert chosen.ndcg_at_10 == chosen.usual_ndcg_at_10 > 0.9


def test_too_few_questions_decide_nothing(index: Index) -> None:
    assert choose_weights(index, BM25_ONLY, asked(29)) == ChosenWeights(BM25_ONLY)
    unanswerable = [item.model_copy(update={"answerable": False}) for item in asked(32)]
    assert choose_weights(index, DEFAULT_WEIGHTS, unanswerable) == ChosenWeights(DEFAULT_WEIGHTS)


def test_languages_that_minilm_does_not_read_are_searched_by_words() -> None:
    minilm, e5 = PACKAGED["minilm"].id, PACKAGED["e5"].id
    assert {usual_weights(language, minilm) for language in ("zh", "ja", "ko")} == {BM25_ONLY}
    assert usual_weights("de", minilm) == usual_weights("zh", e5) == usual_weights("zh", "other@x") == DEFAULT_WEIGHTS


def test_the_choice_is_kept_and_damage_is_not_read_as_none(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    assert load_weights(path) is None
    chosen = ChosenWeights((1.0, 2.0), 50, 0.5, 0.4)
    path.write_text(json.dumps(asdict(chosen)), encoding="utf-8")
    assert load_weights(path) == chosen
    for damage in ("{", *(f'{{"weights": {held}}}' for held in ("[1]", "[-1, 1]", '[1, 1], "x": 1'))):
        path.write_text(damage, encoding="utf-8")
        with pytest.raises(RetrievalError, match="softgraft ingest"):
            load_weights(path)


def weights_of(domain: Domain) -> tuple[float, float]:
    return domain.answering("text-twin").settings.weights


@pytest.mark.parametrize(
    ("retrieval", "expected"),
    [
        ({}, DEFAULT_WEIGHTS),
        ({"dense_weight": 0.25}, (0.25, DEFAULT_WEIGHTS[1])),
        ({"bm25_weight": 3}, (DEFAULT_WEIGHTS[0], 3.0)),
        ({"dense_weight": 0, "bm25_weight": 2}, (0.0, 2.0)),
    ],
)
def test_the_domain_file_overrules(
    make_domain: MakeDomain, retrieval: dict[str, float], expected: tuple[float, float]
) -> None:
    domain = make_domain(ingest=True, retrieval={**RETRIEVAL, **retrieval})
    assert weights_of(domain) == expected


def test_an_ingest_chooses_and_a_later_one_forgets(make_domain: MakeDomain) -> None:
    domain = make_domain(retrieval=RETRIEVAL)
    (domain.folder / "docs" / "things.jsonl").write_text(
        "\n".join(json.dumps({"id": word, "text": f"The {word} costs money."}) for word in THINGS), encoding="utf-8"
    )
    write_items(domain.folder / "train.jsonl", [json.loads(item.model_dump_json()) for item in asked(32)])
    domain.encoder = Misled(dimension=2048)
    domain.ingest()
    kept = load_weights(domain.build / "weights.json")
    assert kept is not None
    assert weights_of(domain) == kept.weights != DEFAULT_WEIGHTS
    write_items(domain.folder / "train.jsonl", [json.loads(item.model_dump_json()) for item in asked(5)])
    domain.ingest()
    assert weights_of(domain) == DEFAULT_WEIGHTS


def test_an_interrupted_choice_keeps_the_earlier_one(index: Index, make_domain: MakeDomain) -> None:
    domain = make_domain(retrieval=RETRIEVAL)
    path = domain.build / "weights.json"
    path.parent.mkdir()
    fit_weights(domain.file, domain.build, index, asked(32), None)
    before = path.read_bytes()

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_weights(domain.file, domain.build, index, asked(32), interrupt)
    assert path.read_bytes() == before


def test_settings_that_find_nothing_are_refused(make_domain: MakeDomain) -> None:
    with pytest.raises(DomainError, match="both 0, so no passage is found"):
        make_domain(retrieval={"dense_weight": 0, "bm25_weight": 0})
    for wrong in ({"neighbours": 3}, {"dense_weight": "some"}, {"evidence_threshold": 1.5}, {"reranker": ""}):
        name = f"wrong-{next(iter(wrong))}".replace("_", "-")
        with pytest.raises(DomainError, match=next(iter(wrong))):
            make_domain(name, retrieval=wrong)


def test_neighbours_are_shown_and_scored_as_the_passage_that_was_found(make_domain: MakeDomain) -> None:
    question = "What does a replacement card cost?"
    evidence = []
    for neighbours in (0, 1):
        domain = make_domain(f"house{neighbours}", ingest=True, retrieval={**RETRIEVAL, "neighbours": neighbours})
        text = "The cook is tall. " * 8 + "A replacement spoon costs 12 euros. " + "The cook is small. " * 8
        (domain.folder / "docs" / "kitchen.txt").write_text(text, encoding="utf-8")
        domain.ingest()
        evidence.append(domain.answering("text-twin").evidence_many([question.replace("card", "spoon")])[0])
        best = evidence[-1].passages[0].passage
        assert text[best.start : best.end] == best.text
        assert "12 euros" in best.text
        again = opened(domain.folder)
        assert again.answering("text-twin").settings.neighbours == neighbours
        again.close()
    without, grown = (found.passages[0].passage for found in evidence)
    assert grown.start <= without.start < without.end <= grown.end
    assert len(grown.text) > len(without.text)
    assert evidence[0].score == evidence[1].score
