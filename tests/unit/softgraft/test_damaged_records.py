"""Every byte of a file that answers depend on is covered: a change is an error, or the file counts as absent.

Files of earlier releases, which have no checksum, are still read.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chains.tasks.labels import Calibration
from evaluation.items import Item
from retrieval import EvidenceScale, RetrievalError, load_scale, save_scale
from retrieval.ranking.evidence_score import LogisticModel
from retrieval.store.checked_file import with_checksum
from soft_prompt.errors import ArtifactError
from soft_prompt.files import write_bytes
from softgraft.assembly.answer_form import ChosenForm, FormScores, load_form, save_form
from softgraft.errors import DomainError
from softgraft.jobs.search import _TRIALS, Trial, _read_trials
from softgraft.sources.card import CARD, SourceCard, SourceDomain, UnseenDomain, read_card, write_card
from softgraft.sources.start import ChosenStart, load_start, save_start
from softgraft.tasks.label_fit import LabelFit, keep_fit, read_fit
from softgraft.training.refusal_fit import REFUSALS, _load, fit_refusals
from softgraft.training.retrieval_fit import _CHOICE, ChosenWeights, load_weights
from tests.support.hashing_encoder import HashingEncoder

ENCODER = HashingEncoder(dimension=8)
ITEMS = [
    Item(id=f"{known}{n}", question="?", response=f"{'It is' if known else 'No word about'} {n}.", answerable=known)
    for known in (True, False)
    for n in range(12)
]


@dataclass(frozen=True)
class Record:
    """How a file is written and read; `absent` is what reading gives if it counts as absent, None if it is an error."""

    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    error: type[Exception] | None = None
    name: str = "record.json"


def write_refusals(path: Path) -> None:
    assert fit_refusals(path.parent, ENCODER, ITEMS)


SCALE = EvidenceScale(LogisticModel(("coverage", "best_cosine"), (3.0, 2.0), -1.0, 0.4), questions=50, brier=0.1)
FORM = ChosenForm(
    form="both", soft_prompt="ab12", questions=20, scores={"both": FormScores(accuracy=0.5, token_f1=0.25)}
)
START = ChosenStart(source="/grafts/sürvices", vectors_sha256="ab12", questions=20, scores={"text-twin": 0.25})
CARD_OF_SOURCE = SourceCard(
    name="compass",
    vectors_sha256="ab12",
    made_by="softgraft source compass --from sürvices",
    seed=0,
    seconds=12.5,
    domains=(SourceDomain(name="north", licence="MIT", questions=4, dev_questions=2, token_f1=0.75),),
    unseen=(UnseenDomain(name="east", split="dev", questions=4, token_f1=0.75, token_f1_text_twin=0.5, accuracy=0.5),),
)
WEIGHTS = ChosenWeights((1.0, 0.5), 40, 0.75, 0.5)
FIT = LabelFit(Calibration("prior", "sum", (0.5, -0.5)), {"prior": 0.75, "none": 0.5})
TRIALS = (Trial("ab12", {"epochs": 2}, 0.5, 0.25, None, 1.5, 60.0, "cd34"), Trial("cd34", {}, problem="diverged"))

RECORDS = {
    "evidence": Record(lambda path: save_scale(SCALE, path), load_scale, RetrievalError),
    "weights": Record(
        lambda path: write_bytes(path, with_checksum(_CHOICE.dump_json(WEIGHTS, indent=1))),
        load_weights,
        RetrievalError,
    ),
    "answer form": Record(lambda path: save_form(FORM, path), load_form, DomainError),
    "start": Record(lambda path: save_start(START, path), load_start, DomainError),
    "card": Record(
        lambda path: write_card(CARD_OF_SOURCE, path.parent), lambda path: read_card(path.parent), ArtifactError, CARD
    ),
    "refusals": Record(write_refusals, lambda path: _load(ENCODER, path), DomainError, REFUSALS),
    "labels": Record(lambda path: keep_fit(path, "ab12", FIT), lambda path: read_fit(path, "ab12")),
    "search": Record(
        lambda path: write_bytes(path, with_checksum(_TRIALS.dump_json({"trials": TRIALS}, indent=1))), _read_trials
    ),
}


@pytest.fixture(params=RECORDS)
def record(request: pytest.FixtureRequest) -> Record:
    return RECORDS[request.param]


@pytest.fixture
def path(record: Record, tmp_path: Path) -> Path:
    path = tmp_path / record.name
    record.write(path)
    return path


def found(record: Record, path: Path) -> bool:
    """Whether the damage of a file was found."""
    if record.error is None:
        return not record.read(path)
    try:
        record.read(path)
    except record.error as error:
        return str(path) in str(error)
    return False


def test_what_was_written_is_read(record: Record, path: Path) -> None:
    assert record.read(path)
    assert re.fullmatch("[0-9a-f]{64}", json.loads(path.read_bytes())["checksum"])
    # Nothing is left behind, and the file remains one that people can read.
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_every_flipped_byte_is_found(record: Record, path: Path) -> None:
    data = path.read_bytes()
    ending = data.rindex(b"checksum") - 6
    missed = []
    for place in range(len(data)):
        # Behind the last value only the form of the ending is checked, and white space is as good as other white space.
        bits = [1 << bit for bit in range(8)] if place >= ending else [1 << place % 8]
        others = [data[place] ^ bit for bit in bits] + (list(b' \t\r\n",:0{}') if place >= len(data) - 4 else [])
        for value in {*others} - {data[place]}:
            path.write_bytes(data[:place] + bytes((value,)) + data[place + 1 :])
            if not found(record, path):
                missed.append((place, value))
    assert missed == []


def test_every_truncated_file_is_found(record: Record, path: Path) -> None:
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        assert found(record, path), data[end - 20 : end]
    path.write_bytes(data + b" ")
    assert found(record, path)


def test_a_file_without_a_checksum_is_read(record: Record, path: Path) -> None:
    new = record.read(path)
    content = json.loads(path.read_bytes())
    del content["checksum"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert repr(record.read(path)) == repr(new)


def test_numbers_without_meaning_are_refused(record: Record, path: Path) -> None:
    """In files without a checksum, or with a right one."""
    content = json.loads(path.read_bytes())
    del content["checksum"]
    places = list(number_places(content))
    assert places
    for place in places:
        for value in ("NaN", "Infinity", "-Infinity", "1e999", "-1e300", "9" * 5000, "-7" + "0" * 30):
            path.write_text(json.dumps(replaced(content, place, "@")).replace('"@"', value), encoding="utf-8")
            # Settings of a trial are shown, and never read back.
            assert found(record, path) or "settings" in place, (place, value[:10])


def number_places(value: Any, before: tuple[str | int, ...] = ()) -> Any:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from number_places(one, (*before, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from number_places(one, (*before, number))
    elif isinstance(value, (int, float)):
        yield before


def replaced(content: Any, place: tuple[str | int, ...], value: str) -> Any:
    copied = json.loads(json.dumps(content))
    holder = copied
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return copied


@pytest.mark.parametrize("content", [b"[" * 100_000, b"", b"null", b"[]", b"\xff\xfe", b"{}" + b" " * 17_000_000])
def test_other_files_are_refused(record: Record, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert found(record, path)


def test_the_user_learns_what_is_computed_again(path: Path, record: Record, caplog: pytest.LogCaptureFixture) -> None:
    if record.error is not None:
        return
    path.write_bytes(path.read_bytes().replace(b"ab12", b"ab13"))
    with caplog.at_level(logging.INFO, "softgraft"):
        assert not record.read(path)
    assert "again, since" in caplog.text
    assert str(path) in caplog.text
