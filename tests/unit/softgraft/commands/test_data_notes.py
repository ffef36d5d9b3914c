"""Notes on question files."""

from __future__ import annotations

from evaluation.questions.references import LostReference
from softgraft.commands.data_notes import data_notes
from softgraft.settings.question_files import QuestionReport


def test_only_what_needs_attention_is_noted() -> None:
    assert data_notes([QuestionReport("train", "train.jsonl", 40, None, (), ())]) == []


def test_a_cut_file_is_noted_once() -> None:
    train = QuestionReport("train", "train.csv", 30, 40, ("url",), ())
    dev = QuestionReport("dev", "train.csv", 10, 40, ("url",), ())
    columns, cut = data_notes([train, dev])
    assert columns == "train.csv: unused columns: url"
    assert cut.startswith("there is no dev.jsonl, so 10 of the 40 questions in train.csv are dev")


def test_lost_values_come_with_their_closest_match_and_a_count() -> None:
    ids = tuple(LostReference(f"q{n}", f"Fee {n}?", "doc_id", "feees", "fees" if n == 0 else None) for n in range(5))
    quote = LostReference("q9", "Long?", "quote", "A very long quote. " * 20, "A quote.")
    first, second = data_notes([QuestionReport("test", "test.jsonl", 40, None, (), (*ids, quote))])
    assert first == (
        "test.jsonl: 5 doc_id without a document: 'feees' (closest: 'fees') of 'Fee 0?'; 'feees' of 'Fee 1?'; "
        "'feees' of 'Fee 2?'; and 2 more (all in --json)"
    )
    assert second.startswith("test.jsonl: 1 quotes that their document does not have: 'A very long quote.")
    assert second.endswith("…' (closest: 'A quote.') of 'Long?'")
    assert len(second) < 200
