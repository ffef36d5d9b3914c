"""The judged sentences of the support check, and how its error rates are computed."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from benchmarks.quality.support import SENTENCES
from benchmarks.quality.support_scores import error_rates, has_numbers, measure, read_sentences, wilson, word_share

pytestmark = pytest.mark.bench

JUDGED = read_sentences(SENTENCES)


def test_there_are_enough_sentences_of_each_kind() -> None:
    assert len(JUDGED) >= 200
    assert len({sentence.id for sentence in JUDGED}) == len(JUDGED)
    counts = Counter((sentence.split, sentence.supported) for sentence in JUDGED)
    assert min(counts[split, supported] for split in ("dev", "inspected", "test") for supported in (True, False)) >= 35
    assert sum(sentence.language == "zh" for sentence in JUDGED) >= 40
    assert sum(sentence.source == "model" for sentence in JUDGED) >= 20


def test_no_passage_backs_sentences_of_two_splits() -> None:
    splits = defaultdict(set)
    for sentence in JUDGED:
        first = sentence.passages[0]
        splits[first.title, first.heading].add((sentence.split, sentence.source == "model"))
    # Replies are judged with the passages that the model got, whatever their documents are.
    mixed = [place for place, found in splits.items() if len({split for split, model in found if not model}) > 1]
    assert mixed == []


def test_the_check_beats_the_baselines_on_dev() -> None:
    methods = measure(JUDGED, "dev")["methods"]
    sums = {name: sum(rate["rate"] for rate in rates.values()) for name, rates in methods.items()}
    check = sums.pop("support check")
    assert len(sums) == 4
    assert check < min(sums.values())


def test_error_rates_count_both_kinds() -> None:
    rates = error_rates(JUDGED, lambda sentence: True)
    assert (rates["unsupported_passed"]["rate"], rates["supported_rejected"]["rate"]) == (1, 0)
    rates = error_rates(JUDGED, lambda sentence: sentence.supported)
    assert (rates["unsupported_passed"]["count"], rates["supported_rejected"]["count"]) == (0, 0)


def test_wilson_interval() -> None:
    # Wilson (1927), as in Newcombe (1998), table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)


def test_baselines() -> None:
    copied = next(s for s in JUDGED if s.kind == "copy" and s.language == "en" and s.source == "written")
    assert word_share(copied) > 0.7
    assert has_numbers(copied)
