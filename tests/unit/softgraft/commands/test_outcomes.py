"""Every error of every package has one outcome, and says what to do next."""

from __future__ import annotations

import inspect
import re
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


def walk(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        yield from walk(below)


ERRORS = sorted({error for base in KNOWN for error in walk(base)}, key=lambda kind: kind.__qualname__)
IN_THE_TABLE = [kind for kind, _ in OUTCOMES]


def test_the_walk_finds_the_errors_of_all_packages() -> None:
    assert len(KNOWN) == len(MODULES) == 6
    assert {error.__module__ for error in ERRORS} == {module.__name__ for module in MODULES}
    defined = {kind for module in MODULES for kind in vars(module).values() if inspect.isclass(kind)}
    assert {kind for kind in defined if issubclass(kind, Exception)} == set(ERRORS)
    assert len(ERRORS) >= 24


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_the_first_entry_that_fits_is_the_most_special_one(kind: type[Exception]) -> None:
    fitting = [entry for entry in IN_THE_TABLE if issubclass(kind, entry)]
    assert fitting
    assert all(issubclass(fitting[0], entry) for entry in fitting)
    error = kind(found="a", expected="b", next_step="c")  # type: ignore[call-arg]
    outcome = outcome_of(error)
    assert outcome == dict(OUTCOMES)[fitting[0]]
    # 0 is success, 130 is Ctrl-C.
    assert 1 <= outcome.exit_code <= 125
    assert 400 <= outcome.http_status < 600
    assert str(error) == "a. Expected: b. Next: c"


def test_the_table_has_each_class_once_and_none_in_vain() -> None:
    assert len(set(IN_THE_TABLE)) == len(IN_THE_TABLE)
    for kind, outcome in OUTCOMES:
        assert outcome_of(kind(found="a", expected="b", next_step="c")) == outcome  # type: ignore[call-arg]
    assert set(KNOWN) <= {*IN_THE_TABLE, evaluation.errors.EvaluationError, prompts.errors.PromptError}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_tree_in_the_docstring_is_the_tree(module: object) -> None:
    drawn = set(re.findall(r"[├└]─+ +(\w+)", inspect.getdoc(module) or ""))
    own = {kind.__name__ for kind in ERRORS if kind.__module__ == module.__name__ and kind not in KNOWN}  # type: ignore[attr-defined]
    assert drawn == own


def test_a_foreign_error_has_no_outcome() -> None:
    with pytest.raises(StopIteration):
        outcome_of(ValueError("x"))
