"""The evidence score of a domain, fitted on its own questions."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from house_domain import opened, write_items

from chains import AnswerSettings
from evaluation import Item
from retrieval import RetrievalError
from retrieval.ranking.rerank import POOL
from retrieval.ranking.scale_files import default_scale
from softgraft import Domain
from softgraft.training.retrieval_fit import calibrate, labelled_rankings

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
KNOWN = {
    "What does a replacement card cost?": ("cards", "A replacement card costs 12 euros and arrives within 5 days."),
    "What does a cash withdrawal abroad cost?": ("cards", "A cash withdrawal abroad costs 2.99 percent"),
    "Is the debit card free in the first year?": ("cards", "The debit card is free in the first year."),
    "How many days do I have to dispute a card payment?": ("disputes", "You have 120 days to dispute a card payment."),
    "Which letter from the merchant should I keep?": ("disputes", "Keep the receipt and every letter"),
    "What does a transfer overseas cost?": ("transfers", "A transfer overseas costs 15 euros."),
    "When does the branch on Mill Street close?": ("branches", "The branch on Mill Street opens at nine"),
    "What interest does the young saver pay?": ("savings", "The young saver pays 4.1 percent interest"),
}
UNKNOWN = [
    "Do you treat horses?", "Can I hire your garden for my wedding?", "Who won the football match?",
    "How do I bake bread without yeast?", "Do your managers earn bonuses?", "Is snow expected tomorrow?",
    "Which shoes suit hiking?", "Do bees sleep?", "Can my dog board a plane?", "Will you sponsor our choir?",
    "How tall was Napoleon?", "Where do penguins nest?",
]  # fmt: skip


def answerable(split: str) -> list[Item]:
    return [
        Item(id=f"{split}-{n}", question=question, answers=("x",), doc_id=doc_id, quote=quote)
        for n, (question, (doc_id, quote)) in enumerate(KNOWN.items())
    ]


def unanswerable(split: str, count: int) -> list[Item]:
    return [Item(id=f"{split}-no-{n}", question=q, answerable=False) for n, q in enumerate(UNKNOWN[:count])]


def write_questions(domain: Domain, count: int = len(UNKNOWN)) -> None:
    """Train and dev with all known questions and some unknown ones."""
    for split in ("train", "dev"):
        items = [*answerable(split), *unanswerable(split, count)]
        write_items(domain.folder / f"{split}.jsonl", [json.loads(entry.model_dump_json()) for entry in items])


def asked(domain: Domain, question: str) -> bool:
    """Whether the evidence for a question is enough."""
    return domain.answering("text-twin").evidence_many([question])[0].enough


def test_it_tells_questions_that_the_documents_answer_from_others(make_domain: MakeDomain) -> None:
    domain = make_domain()
    write_questions(domain)
    done = domain.ingest()
    assert (done.scale.origin, done.scale.questions) == ("domain", 40)  # train and dev
    assert done.scale.wrong_refusals is not None
    assert done.scale.wrong_refusals <= 0.05
    assert done.scale.right_refusals is not None
    assert done.scale.right_refusals >= 0.8
    assert asked(domain, "What does a replacement card cost?")
    assert not asked(domain, "Do you treat horses?")
    # Kept on disk, so that answering later needs no questions.
    assert domain.status()["evidence_score"] == {"scale": "own", "questions": 40}
    again = opened(domain.folder)
    assert again.answering("text-twin").scale == done.scale
    again.close()


def test_rankings_without_their_document_stand_in_for_unanswerable_questions(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    settings = AnswerSettings(passages=2)
    scale = calibrate(domain.index, settings, [item for n in range(5) for item in answerable(f"split{n}")])
    assert scale is not None
    question = "What does a transfer overseas cost?"
    ranked = domain.index.search(question, POOL)
    foreign = [entry for entry in ranked if entry.passage.doc_id != "transfers"]
    right, wrong = domain.index.judged([question] * 2, [ranked, foreign])
    assert scale.score(right) > scale.score(wrong)


@pytest.mark.parametrize("items", [[], [item for n in range(4) for item in unanswerable(f"split{n}", 11)]])
def test_questions_that_do_not_allow_it_give_no_scale(make_domain: MakeDomain, items: list[Item]) -> None:
    domain = make_domain(ingest=True)
    assert calibrate(domain.index, AnswerSettings(), items) is None


def test_a_question_whose_passages_miss_the_answer_is_not_answered(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    missed = Item(id="m", question="What does a replacement card cost?", answers=("x",), doc_id="savings")
    items = [*answerable("dev"), missed, *unanswerable("dev", 11)]
    found = labelled_rankings(domain.index, AnswerSettings(weights=(0.0, 1.0)), items)
    assert len(found) == len(items)
    assert [one.answered for one in found[:8]] == [True] * 8
    assert (found[8].answered, found[8].answerable) == (False, True)
    assert not any(one.answered or one.answerable for one in found[9:])


def test_the_threshold_of_the_domain_file_is_the_one_that_counts(make_domain: MakeDomain) -> None:
    for threshold, enough in ((0.0, True), (1.0, False)):
        settings = {"passages": 2, "evidence_tokens": 120, "passage_tokens": 32, "evidence_threshold": threshold}
        domain = make_domain(f"house{threshold:.0f}", ingest=True, retrieval=settings)
        assert asked(domain, "What does a replacement card cost?") is enough


def test_with_few_questions_the_default_scale_is_used(make_domain: MakeDomain) -> None:
    domain = make_domain()
    write_questions(domain, 11)
    done = domain.ingest()
    assert done.scale == default_scale(domain.encoder.id)
    assert (done.scale.origin, done.scale.questions) == ("default", 0)
    assert not (domain.build / "evidence.json").exists()
    assert domain.status()["evidence_score"] == {"scale": "default", "questions": 0}
    assert asked(domain, "What does a replacement card cost?")
    assert not any(asked(domain, question) for question in UNKNOWN)


def test_a_scale_that_is_no_longer_fitted_is_forgotten(make_domain: MakeDomain) -> None:
    domain = make_domain()
    write_questions(domain)
    domain.ingest()
    assert (domain.build / "evidence.json").is_file()
    # Without dev alone, some of train would take its place.
    for split in ("train", "dev"):
        (domain.folder / f"{split}.jsonl").unlink()
    assert domain.ingest().scale.origin == "default"
    assert not (domain.build / "evidence.json").exists()
    assert domain.answering("text-twin").scale == default_scale(domain.encoder.id)


def test_a_scale_of_the_first_release_gets_the_default_judgement_of_follow_ups(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    first = {
        "features": ["best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25", "lead"],
        "weights": [0.0, 0.0, 0.0, 10.0, 0.0, 0.0], "bias": -5.0, "threshold": 0.5, "questions": 300,
        "wrong_refusals": 0.05, "right_refusals": None, "answered_share": 0.7, "brier": None, "calibration_error": None,
    }  # fmt: skip
    (domain.build / "evidence.json").write_text(json.dumps(first))
    scale = domain.answering("text-twin").scale
    assert scale is not None
    assert scale.follow_up == default_scale(domain.encoder.id).follow_up
    assert asked(domain, "What does a replacement card cost?")
    assert not asked(domain, "Do you treat horses?")
    assert domain.status()["evidence_score"] == {"scale": "own", "questions": 300}


def test_a_damaged_scale_is_not_read_as_none(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    (domain.build / "evidence.json").write_text("{}")
    with pytest.raises(RetrievalError, match="softgraft ingest"):
        domain.answering("text-twin")
