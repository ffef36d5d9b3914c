"""Every error of every package has one exit code, one HTTP status and a next step."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

import chains.errors
import evaluation.errors
import prompts.errors
import retrieval.errors
import soft_prompt.errors
import softgraft.errors
from softgraft.errors import KNOWN, OUTCOMES, outcome_of

MODULES = (chains.errors, evaluation.errors, prompts.errors, retrieval.errors, soft_prompt.errors, softgraft.errors)


def walk(error_class: type[Exception]) -> Iterator[type[Exception]]:
    yield error_class
    for below in error_class.__subclasses__():
        yield from walk(below)


ERRORS = sorted({error for base in KNOWN for error in walk(base)}, key=lambda error_class: error_class.__qualname__)
IN_THE_TABLE = [error_class for error_class, _ in OUTCOMES]


def test_the_errors_of_all_packages_are_covered() -> None:
    assert len(KNOWN) == len(MODULES) == 6
    assert {error.__module__ for error in ERRORS} == {module.__name__ for module in MODULES}
    defined = {
        error_class for module in MODULES for error_class in vars(module).values() if inspect.isclass(error_class)
    } - {prompts.errors.ExplainedError}
    assert {error_class for error_class in defined if issubclass(error_class, Exception)} == set(ERRORS)
    assert len(ERRORS) >= 24


@pytest.mark.parametrize("error_class", ERRORS, ids=lambda error_class: error_class.__name__)
def test_the_first_match_is_the_most_specific_class(error_class: type[Exception]) -> None:
    fitting = [entry for entry in IN_THE_TABLE if issubclass(error_class, entry)]
    assert fitting
    assert all(issubclass(fitting[0], entry) for entry in fitting)
    error = error_class(found="a", expected="b", next_step="c")  # type: ignore[call-arg]
    outcome = outcome_of(error)
    assert outcome == dict(OUTCOMES)[fitting[0]]
    # 0 is success, and 130 is Ctrl-C.
    assert 1 <= outcome.exit_code <= 125
    assert 400 <= outcome.http_status < 600
    assert str(error) == "a. Expected: b. Next: c"


def test_each_class_is_in_the_table_once() -> None:
    assert len(set(IN_THE_TABLE)) == len(IN_THE_TABLE)
    assert set(KNOWN) <= set(IN_THE_TABLE)


def test_other_errors_have_no_outcome() -> None:
    with pytest.raises(StopIteration):
        outcome_of(ValueError("x"))
