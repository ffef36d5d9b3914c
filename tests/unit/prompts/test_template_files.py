"""Template files: what parses, and how a file that does not is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts import (
    TEMPLATES,
    Slot,
    Template,
    TemplateError,
    UnknownTemplateError,
    check_folder,
    find_template,
    load_template,
)
from prompts.pieces import parse_pieces

GOOD = """\
# A comment that no reader of the template sees.
name: small
version: 1
description: For these tests.
inputs:
  context: passages
  history: history
  question: text
soft_slots:
  domain: Be brief.
messages:
  - role: system
    content: "Passages: {context}{domain}"
  - role: history
  - role: user
    content: "{question}"
"""


def write(folder: Path, source: str) -> Path:
    path = folder / "small.en.yaml"
    path.write_text(source, encoding="utf-8")
    return path


def refusal(folder: Path, source: str) -> str:
    with pytest.raises(TemplateError) as caught:
        load_template(write(folder, source))
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "pieces"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("{a}", (Slot("a"),)),
        ("{a}{b}", (Slot("a"), Slot("b"))),
        ("x{a}y", ("x", Slot("a"), "y")),
        ("{{a}}", ("{a}",)),
        ("{{{a}}}", ("{", Slot("a"), "}")),
        ("{{}}", ("{}",)),
        ('{{"k": "{v}"}}', ('{"k": "', Slot("v"), '"}')),
        ("{_a1}", (Slot("_a1"),)),
    ],
)
def test_braces_split_text_from_slots(source: str, pieces: tuple[str | Slot, ...]) -> None:
    assert parse_pieces(source) == pieces


@pytest.mark.parametrize(
    "source",
    [
        "{",
        "}",
        "a { b",
        "a } b",
        "{}",
        "{a",
        "a}",
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{a:>9}",
        "{ a }",
        "{1a}",
        "{a-b}",
        "{é}",
    ],
)
def test_any_other_brace_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match="lone brace"):
        parse_pieces(source)


@given(st.text())
def test_doubling_the_braces_of_any_text_gives_the_text(text: str) -> None:
    pieces = parse_pieces(text.replace("{", "{{").replace("}", "}}"))
    assert pieces == ((text,) if text else ())


def test_a_good_file_loads(tmp_path: Path) -> None:
    template = load_template(write(tmp_path, GOOD))
    assert template.name == "small"
    assert template.text_twin("domain") == "Be brief."
    assert [message.role for message in template.messages] == ["system", "history", "user"]


def test_an_unknown_soft_slot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no soft slot 'style'"):
        load_template(write(tmp_path, GOOD)).text_twin("style")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("name: small", "name: Small Talk!", 2, "name"),
        ("name: small\n", "", 2, "name: Field required"),
        ("version: 1", "version: one", 3, "version"),
        ("version: 1", "version: 0", 3, "version"),
        ("version: 1", "version: 1\nlanguage: english", 4, "language"),
        ("description: For these tests.", "description: ''", 4, "description"),
        ("description: For these tests.\n", "", 2, "description: Field required"),
        ("  context: passages", "  context: documents", 6, "inputs.context"),
        ("  domain: Be brief.", "  domain: ''", 10, "soft_slots.domain"),
        ("  domain: Be brief.", "  domain: '   '", 10, "soft_slots.domain"),
        ("  domain: Be brief.", "  domain: [a, b]", 10, "soft_slots.domain"),
        ("  - role: system", "  - role: developer", 12, "messages.0.role"),
        ("  - role: user", "  - role: user\n    weight: 2", 16, "messages.2.weight"),
        ("{domain}", "{domain} {tone}", 13, "unknown slot {tone}; declared are context, domain, question"),
        ("{domain}", "{domain} {history}", 13, "unknown slot {history}"),
        ("{domain}", "{domain} {", 13, "a lone brace near"),
        ("{domain}", "{domain}{domain}", 10, "the soft slot 'domain' is used twice"),
        ("{domain}", "", 10, "'domain' is declared but not used in any message"),
        ("{question}", "hello", 8, "'question' is declared but not used in any message"),
        ("  - role: history\n", "", 7, "'history' is declared but not used in any message"),
        ("  history: history\n", "", 13, "declare `history: history` under inputs"),
        ("  - role: history", "  - role: history\n    content: x", 14, "a history entry must have no content"),
        ('\n    content: "{question}"', "", 15, "a message with the role user needs content"),
        ("  domain: Be brief.", "  domain: Be brief.\n  question: Twice.", 11, "both an input and a soft slot"),
        ("  - role: system", "  - role: user", 12, "the first message must have the role system"),
        ("version: 1", "version: 1\npassage: '{text} {page}'", 4, "{page}; declared are heading, text, title"),
    ],
)  # fmt: skip
def test_a_problem_is_reported_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    message = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert f"small.en.yaml: line {line}: " in message
    assert words in message.split(f"line {line}: ", 1)[1]


def lines_reported(message: str) -> list[int]:
    return sorted(int(number) for number in re.findall(r"small\.en\.yaml: line (\d+):", message))


def test_all_problems_of_the_form_are_reported_at_once(tmp_path: Path) -> None:
    source = GOOD.replace("version: 1", "version: 0").replace("text\n", "string\n", 1).replace("user", "customer")
    message = refusal(tmp_path, source)
    assert "3 problems" in message
    assert lines_reported(message) == [3, 8, 15]


def test_all_problems_of_the_content_are_reported_at_once(tmp_path: Path) -> None:
    source = GOOD.replace("{domain}", "{tone}").replace("{question}", "{question} }")
    message = refusal(tmp_path, source)
    # The slot {tone}; `domain` that is not used any more; the brace, beside which `question` still counts as used.
    assert lines_reported(message) == [10, 13, 16]


def test_a_brace_is_reported_together_with_a_problem_of_the_form(tmp_path: Path) -> None:
    # A person mends a file once, not once for each kind of problem.
    message = refusal(tmp_path, GOOD.replace("version: 1", "version: 0").replace("{domain}", "{domain} {"))
    assert lines_reported(message) == [3, 13]


@pytest.mark.parametrize(
    "source",
    ["", "# only a comment\n", "just text", "- a\n- list\n", "a: [1\n", "\ta: 1\n", "a: !!python/object:os.x {}\n"],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, source: str) -> None:
    assert "1 problem in" in refusal(tmp_path, source)


def test_a_file_that_is_no_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.en.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(TemplateError, match="utf-8"):
        load_template(path)
    with pytest.raises(TemplateError, match="No such file"):
        load_template(tmp_path / "absent.en.yaml")


def loaded(folder: Path, old: str = "", new: str = "") -> Template:
    assert old in GOOD
    return load_template(write(folder, GOOD.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Passages: ", "Passages:\\n"),
        ("Be brief.", "Be brief!"),
        ("{context}{domain}", "{domain}{context}"),
        ('"{question}"', '"Q: {question}"'),
        ("  - role: history\n  - role: user", "  - role: user"),
        ("version: 1", "version: 1\npassage: '{text} '"),
        ("version: 1", "version: 1\nno_passages: nothing found"),
    ],
)
def test_the_hash_changes_with_whatever_reaches_a_model(tmp_path: Path, old: str, new: str) -> None:
    changed = GOOD.replace(old, new, 1)
    if "role: history" not in changed:
        changed = changed.replace("  history: history\n", "")
    assert changed != GOOD
    assert load_template(write(tmp_path, changed)).content_hash != loaded(tmp_path).content_hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("For these tests.", "For other readers."),
        ("# A comment that no reader", "# Another comment"),
        ("  - role: history", "  # where the earlier turns go\n  - role: history"),
        ("Be brief.", "'Be brief.'"),
    ],
)
def test_the_hash_does_not_change_with_what_only_people_read(tmp_path: Path, old: str, new: str) -> None:
    assert loaded(tmp_path, old, new).content_hash == loaded(tmp_path).content_hash


def test_a_literal_brace_and_a_slot_do_not_share_a_hash(tmp_path: Path) -> None:
    doubled = loaded(tmp_path, "{domain}", "{domain}{{question}}")
    slot = loaded(tmp_path, "{domain}", "{domain}{question}")
    assert doubled.content_hash != slot.content_hash


def test_every_shipped_template_loads_in_both_languages() -> None:
    files, problems = check_folder(TEMPLATES)
    assert len(files) >= 8
    assert problems == []
    found = {(t.name, t.language): t for t in map(load_template, files)}
    names = {name for name, _ in found}
    assert names >= {"closed-book", "condense-question", "extractive-qa", "rag-chat"}
    assert set(found) == {(name, language) for name in names for language in ("en", "zh")}
    for name in names:
        # The two languages take the same inputs, so a domain may change its language and nothing else.
        english, chinese = found[name, "en"], found[name, "zh"]
        assert english.inputs == chinese.inputs
        assert english.optional == chinese.optional
        assert set(english.soft_slots) == set(chinese.soft_slots)
        assert [m.role for m in english.messages] == [m.role for m in chinese.messages]
        assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese.text)


# Recorded in the manifests of soft prompts that were trained before templates could include, choose or give examples.
HASHES = {
    "closed-book.en": "6ba5ffd7a307123a8eb28de87b33a761e83728c0032a7ea20244a8f6236d2db4",
    "condense-question.en": "cdcc0527c63ea0a1b3a1f1137c35ef88973c4aaa6dcc84965d349668b07b4385",
    "extractive-qa.en": "879ca75a4c6426a91031d407c1b5423041591566fe02c10c55b24f8ea9eedc46",
    "rag-chat.zh": "6a6ab645b48adc2344d7546e57a91aef2279e220ae561272bb193922122cf75b",
}


@pytest.mark.parametrize("name", sorted(HASHES))
def test_the_hash_of_a_plain_template_stays_what_manifests_hold(name: str) -> None:
    assert load_template(TEMPLATES / f"{name}.yaml").content_hash == HASHES[name]


def test_a_custom_folder_is_searched_first(tmp_path: Path) -> None:
    own = tmp_path / "rag-chat.en.yaml"
    own.write_text(GOOD.replace("small", "rag-chat"), encoding="utf-8")
    assert find_template("rag-chat", folders=[tmp_path]) == own
    assert find_template("closed-book", folders=[tmp_path]) == TEMPLATES / "closed-book.en.yaml"


@pytest.mark.parametrize("name", ["absent", "../prompts/templates/rag-chat", "", "RAG-chat", "rag-chat.en"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownTemplateError) as caught:
        find_template(name)
    assert "closed-book, condense-question, draft-question, extractive-qa, rag-chat" in str(caught.value)


@pytest.mark.parametrize("language", ["tlh", "", "*", "**", "../../prompts/templates/rag-chat.en", "e\0n"])
def test_an_unknown_language_is_refused(language: str) -> None:
    with pytest.raises(UnknownTemplateError, match="none in this language"):
        find_template("rag-chat", language)
