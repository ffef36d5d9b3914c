"""YAML that stands for more than it shows, or that no loader should accept, is one of our errors in every file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from chains.tasks.verbalizer import Verbalizer
from prompts import TemplateError, load_template
from softgraft.errors import DomainError
from softgraft.settings.domain_file import DomainFile, read_domain_file
from softgraft.settings.label_file import read_labels
from tests.support.effort import effort

NAMES = "abcdefghi"
BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9) if before else 'lol'}]\n"
    for before, name in zip(["", *NAMES], NAMES, strict=False)
)
# Within a setting that takes any values.
NESTED_BOMB = "remote:\n  options:\n" + "".join(f"    {line}\n" for line in BOMB.splitlines())
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n" for before, name in itertools.pairwise(NAMES)
)

HOSTILE = {
    "an impossible date": "licence: 2026-13-45\n",
    "5,000 digits": f"licence: {'7' * 5000}\n",
    "a deep list": f"licence: {'[' * 30_000}\n",
    "a list that is deep and closed": f"licence: {'[' * 5000}{']' * 5000}\n",
    "a deep mapping": "".join(f"{' ' * level}a:\n" for level in range(800)),
    "an alias bomb": BOMB,
    "a bomb in remote.options": NESTED_BOMB,
    "a bomb of merge keys": MERGES,
    "an alias of itself": "licence: &a [*a]\n",
    "a large file": "# " + "x" * 600_000 + "\n",
    "a NUL": "licence: a\0b\n",
    "an escaped NUL": 'licence: "a\\0b"\n',
    "a lone surrogate": 'licence: "\\ud800"\n',
    "an explicit tag": "licence: !!bool perhaps\n",
    "a tag of Python": "licence: !!python/object/apply:os.getcwd []\n",
    "a duplicate key": "licence: MIT\nlicence: CC0\n",
    "a key that is a list": "? [licence]\n: MIT\n",
}


def read_domain(folder: Path, text: str) -> DomainFile:
    (folder / "domain.yaml").write_text(f"name: shop\ntitle: The shop\nbackbone: openai:x\n{text}", encoding="utf-8")
    return read_domain_file(folder)


def read_label_file(folder: Path, text: str) -> Verbalizer:
    (folder / "labels.yaml").write_text(f"one: first\ntwo: second\n{text}", encoding="utf-8")
    return read_labels(folder)


def read_template(folder: Path, text: str) -> object:
    path = folder / "shop.en.yaml"
    path.write_text(
        f"name: shop\nversion: 1\ndescription: x\ninputs: {{}}\nmessages: [{{role: system, content: x}}]\n{text}",
        encoding="utf-8",
    )
    return load_template(path)


READERS: dict[str, tuple[Callable[[Path, str], object], type[Exception]]] = {
    "domain.yaml": (read_domain, DomainError),
    "labels.yaml": (read_label_file, DomainError),
    "a template": (read_template, TemplateError),
}


@pytest.mark.parametrize("file", READERS)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_yaml_is_refused_at_once(tmp_path: Path, file: str, case: str) -> None:
    read, error = READERS[file]

    def refuse() -> pytest.ExceptionInfo[Exception]:
        with pytest.raises(error) as caught:
            read(tmp_path, HOSTILE[case])
        return caught

    # Without the limits the bombs take hours and gigabytes; each of these takes under 10.
    assert effort(refuse) < 120
    caught = refuse()
    # The message is for people, and is printed on a terminal.
    assert len(str(caught.value)) < 1500


def test_every_reader_accepts_what_is_harmless(tmp_path: Path) -> None:
    assert read_domain(tmp_path, "").title == "The shop"
    assert read_label_file(tmp_path, "").labels == ("one", "two")
    assert read_template(tmp_path, "")


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    text = "remote:\n  options:\n    a: &a {x: [1, 2]}\n    b: *a\n    c: {<<: *a, y: 3}\n"
    assert read_domain(tmp_path, text).remote.options == {
        "a": {"x": [1, 2]},
        "b": {"x": [1, 2]},
        "c": {"x": [1, 2], "y": 3},
    }


def test_problems_name_their_lines(tmp_path: Path) -> None:
    for text, message in (
        ("licence: 2026-13-45\n", "line 4: '2026-13-45' is no timestamp: month must be in 1..12"),
        (f"\nlicence: {'7' * 5000}\n", "line 5: a number of 5000 characters; expected at most 40"),
        ("licence: &a [*a]\n", "line 4: the alias *a repeats the value that it is part of"),
        ("train:\n  seed: 1\n  seed: 2\n", "seed: a second time (line 6); keep one of them"),
    ):
        with pytest.raises(DomainError) as caught:
            read_domain(tmp_path, text)
        assert message in caught.value.found


def test_a_value_that_json_does_not_have_is_no_option_of_a_provider(tmp_path: Path) -> None:
    """Options are written into reports, which are JSON."""
    for value in ("2026-01-05", "!!binary aGk=", "!!set {a}", ".nan", "[.inf]"):
        with pytest.raises(DomainError, match=r"remote\.options"):
            read_domain(tmp_path, f"remote:\n  options:\n    since: {value}\n")


@pytest.mark.parametrize(
    "setting",
    [
        "retrieval: {margin: .inf}", "retrieval: {dense_weight: .nan}", "answer: {temperature: .inf}",
        "cache: {disk_gib: .inf}", "ingest: {seconds: .inf}", "train: {learning_rate: .inf}",
        "retrieval: {passages: 99999999999999999999}", "answer: {max_tokens: 99999999999999999999}",
        "cache: {memory_mib: 99999999999999999999}", "train: {seed: 99999999999999999999}",
        "ingest: {seconds: 1.0e+300}", "retrieval: {dense_weight: 1.0e+300}",
    ],
)  # fmt: skip
def test_a_number_must_be_finite_and_of_a_usable_size(tmp_path: Path, setting: str) -> None:
    with pytest.raises(DomainError, match=r"problems? in .*domain\.yaml"):
        read_domain(tmp_path, f"{setting}\n")
