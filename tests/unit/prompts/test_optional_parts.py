"""Blocks, optional inputs and worked examples in a template: what they render to, and how each misuse is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prompts import (
    TEMPLATES,
    Example,
    MissingInputError,
    PassageInput,
    SoftSegment,
    Template,
    TemplateError,
    TextSegment,
    Turn,
    UnknownInputError,
    load_template,
)

GOOD = """\
name: small
version: 1
description: For these tests.
inputs:
  context: passages
  history: history
  question: text
  tone: text
optional: [context, tone]
include:
  rules: house-rules
soft_slots:
  domain: Be brief.
examples:
  fixed:
    - question: "How much is {domain}?"
      answer: "It is {{free}}."
  similar: 2
  tokens: 50
messages:
  - role: system
    content:
      - "{rules}\\n"
      - if: tone
        text: "Speak in a {tone} voice.\\n"
      - if: context
        text: "Passages: {context}"
      - "{domain}"
  - role: history
  - role: examples
  - role: user
    content: "{question}"
"""
RULES = "We say {rules}, {{never}} {% if x %}.\nWe are kind.\n"
FREE = ("How much is {domain}?", "It is {{free}}.")


def write(folder: Path, source: str = GOOD, block: str | None = RULES) -> Path:
    if block is not None:
        (folder / "blocks").mkdir(exist_ok=True)
        (folder / "blocks" / "house-rules.en.txt").write_text(block, encoding="utf-8")
    path = folder / "small.en.yaml"
    path.write_text(source, encoding="utf-8")
    return path


@pytest.fixture
def template(tmp_path: Path) -> Template:
    return load_template(write(tmp_path))


def rendered(template: Template, **values: Any) -> list[tuple[str, str]]:
    prompt = template.render({"question": "Why?", "history": [], **values})
    return [(message.role, message.text) for message in prompt.messages]


def test_a_block_is_never_parsed(template: Template) -> None:
    # Braces in it are no slots, and its last line break does not count.
    system = template.render({"question": "Why?", "history": []}).messages[0]
    assert system.segments == (TextSegment(RULES), SoftSegment("domain"))


def test_a_block_is_the_same_as_its_text_in_the_file(tmp_path: Path, template: Template) -> None:
    by_itself = tmp_path / "other.en.yaml"
    by_itself.write_text(template.text, encoding="utf-8")
    assert "include" not in template.text
    assert load_template(by_itself).content_hash == template.content_hash
    assert rendered(load_template(by_itself)) == rendered(template)


@pytest.mark.parametrize(
    "content",
    [
        "'{rules} {domain}'",
        '"a {rules}\\tb{domain}"',
        "|\n      One {{x}}\n      {rules}{domain}",
        ">-\n      {rules}\n\n      {domain}",
    ],
)
def test_the_text_with_its_blocks_put_in_loads_by_itself(tmp_path: Path, content: str) -> None:
    start, end = GOOD.index("    content:\n"), GOOD.index("  - role: history")
    source = GOOD[:start] + f"    content: {content}\n" + GOOD[end:]
    source = source.replace("\n  tone: text", "").replace("optional: [context, tone]\n", "# a remark\n")
    source = source.replace("\n  context: passages", "")
    template = load_template(write(tmp_path, source))
    by_itself = tmp_path / "other.en.yaml"
    by_itself.write_text(template.text, encoding="utf-8")
    assert load_template(by_itself).content_hash == template.content_hash
    assert "# a remark" in template.text


def test_the_nearest_block_counts_and_every_place_is_known(tmp_path: Path, template: Template) -> None:
    assert template.sources == (
        tmp_path / "small.en.yaml",
        tmp_path / "blocks" / "house-rules.en.txt",
    )
    (tmp_path / "blocks" / "house-rules.en.txt").unlink()
    with pytest.raises(TemplateError, match=r"line 11: no block 'house-rules'.*blocks/house-rules\.en\.txt"):
        load_template(tmp_path / "small.en.yaml")


def test_the_hash_follows_the_block(tmp_path: Path, template: Template) -> None:
    assert load_template(write(tmp_path, block=RULES[:-1])).content_hash == template.content_hash
    assert load_template(write(tmp_path, block="We are curt.")).content_hash != template.content_hash


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "house-rules.en.txt", "a/b", "House", "", "'..'", "~root"]
)
def test_a_block_is_named_and_never_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.en.txt").write_text("secret", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"line 11: include\.rules"):
        load_template(write(tmp_path, GOOD.replace("house-rules", name or "''")))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    folder = tmp_path / "templates"
    folder.mkdir()
    path = write(folder)
    (folder / "blocks" / "house-rules.en.txt").unlink()
    (folder / "blocks" / "house-rules.en.txt").symlink_to(secret)
    with pytest.raises(TemplateError, match="leads out of the template folder"):
        load_template(path)


def test_a_block_that_names_itself_is_only_text(tmp_path: Path) -> None:
    # Blocks include nothing, so there can be no circle.
    template = load_template(write(tmp_path, block="include: house-rules {rules}"))
    assert rendered(template)[0][1].startswith("include: house-rules {rules}\n")


def test_a_part_is_rendered_only_if_its_input_is_given(template: Template) -> None:
    assert rendered(template)[0][1] == RULES
    assert rendered(template, tone="")[0][1] == RULES
    assert rendered(template, tone="warm")[0][1] == RULES + "Speak in a warm voice.\n"
    passages = [PassageInput("p", "Fees", "", "12 pounds.")]
    assert rendered(template, context=passages)[0][1] == RULES + "Passages: Fees: 12 pounds.\n"
    assert rendered(template, context=[])[0][1] == RULES


def test_what_is_not_optional_must_be_given(template: Template) -> None:
    with pytest.raises(MissingInputError, match="was not given question") as caught:
        template.render({"history": []})
    assert caught.value.expected == "a value for each of history, question"


def test_examples_are_turns_before_the_question(template: Template) -> None:
    chosen = [Example("{question}", "{% x %}")]
    said = rendered(template, examples=chosen, history=[Turn("user", "Hello"), Turn("assistant", "Good day")])
    assert said[1:] == [
        ("user", "Hello"), ("assistant", "Good day"), ("user", FREE[0]), ("assistant", FREE[1]),
        ("user", "{question}"), ("assistant", "{% x %}"), ("user", "Why?"),
    ]  # fmt: skip


def test_examples_can_be_text(tmp_path: Path) -> None:
    source = GOOD.replace("  - role: examples\n", "").replace(
        '{domain}"\n  - role: history', '{examples}{domain}"\n  - role: history'
    )
    source = source.replace("  tokens: 50", '  tokens: 50\n  text: "Q: {question} A: {answer};"')
    template = load_template(write(tmp_path, source))
    said = rendered(template, examples=[Example("{answer}", "b")])
    assert said[0] == ("system", RULES + f"Q: {FREE[0]} A: {FREE[1]};Q: {{answer}} A: b;")
    assert [role for role, _ in said] == ["system", "user"]


def test_only_a_template_that_chooses_takes_examples(tmp_path: Path, template: Template) -> None:
    assert template.chooses_examples
    fixed = load_template(write(tmp_path, GOOD.replace("  similar: 2\n  tokens: 50\n", "")))
    assert not fixed.chooses_examples
    with pytest.raises(UnknownInputError, match="unknown input examples"):
        rendered(fixed, examples=[])
    with pytest.raises(UnknownInputError, match="'examples'") as caught:
        rendered(template, examples=[("a", "b")])
    assert caught.value.expected == "a sequence of Example"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("similar: 2", "similar: 3"),
        ("tokens: 50", "tokens: 51"),
        ("It is {{free}}.", "It is free."),
        ("if: tone", "if: context"),
        ("optional: [context, tone]", "optional: [context, tone, history]"),
    ],
)
def test_the_hash_follows_what_is_new(tmp_path: Path, template: Template, old: str, new: str) -> None:
    source = GOOD.replace(old, new, 1)
    if "if: context" in new:
        source = source.replace("Speak in a {tone} voice.", "Speak.", 1).replace(
            'if: context\n        text: "P', 'if: tone\n        text: "{tone}P'
        )
    assert source != GOOD
    assert load_template(write(tmp_path, source)).content_hash != template.content_hash


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("[context, tone]", "[context, tone, mood]", 9, "'mood' is not an input"),
        ("[context, tone]", "context", 9, "optional: Input should be a valid list"),
        ("[context, tone]", "[context]", 24, "`if: tone` is not an optional input; list it under `optional:`"),
        ("if: tone", "if: mood", 24, "`if: mood` is not an optional input; declare it under `inputs:`"),
        ("if: tone", "if: tone.upper()", 24, "messages.0.content.1.if"),
        ("if: tone", "if: not tone", 24, "messages.0.content.1.if"),
        ("if: tone", "unless: tone", 24, "messages.0.content.1.unless: Extra inputs are not permitted"),
        ("      - if: tone\n        text: ", "      - ", 24,
         "the optional input {tone} is used outside of a part with `if: tone`"),
        ("Passages: {context}", "{domain}{context}", 26, "the soft slot {domain} must be unconditional"),
        ("      - \"{domain}\"", "      - 7", 28, "messages.0.content.3"),
        ("      - \"{rules}\\n\"\n", "", 11, "'rules' is declared but not used in any message"),
        ("rules: house-rules", "rules: house-rules\n  question: house-rules", 12,
         "'question' is both an input and an included block"),
        ("rules: house-rules", "rules: [house-rules]", 11, "include.rules"),
        ("  tone: text", "  tone: text\n  examples: text", 9, "'examples' is both the examples and an input"),
        ("  - role: examples\n", "", 14, "the examples are not used"),
        ("  - role: examples\n", "  - role: examples\n  - role: examples\n", 14, "the examples are used twice"),
        ("  - role: examples", "  - role: examples\n    content: x", 30, "an examples entry must have no content"),
        ("\"{domain}\"", "\"{examples}{domain}\"", 14, "the slot {examples} needs `text:`"),
        ("  tokens: 50", "  tokens: 0", 19, "examples.tokens"),
        ("  tokens: 50", "  tokens: 50\n  text: '{answer}'", 20, "`text` is for the slot {examples}"),
        ("      answer: \"It is {{free}}.\"\n", "", 16, "examples.fixed.0.answer: Field required"),
        ("      answer: \"It is {{free}}.\"", "      answer: ' '", 17, "examples.fixed.0.answer"),
    ],
)  # fmt: skip
def test_each_misuse_is_reported_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(TemplateError) as caught:
        load_template(write(tmp_path, GOOD.replace(old, new, 1)))
    reported = [part for part in str(caught.value).split("\n") if f"small.en.yaml: line {line}: " in part]
    assert any(words in part for part in reported), str(caught.value)


def test_examples_without_any_are_refused(tmp_path: Path) -> None:
    start, end = GOOD.index("  fixed:"), GOOD.index("messages:")
    with pytest.raises(TemplateError, match="line 14: no examples"):
        load_template(write(tmp_path, GOOD[:start] + "  similar: 0\n" + GOOD[end:]))
    with pytest.raises(TemplateError, match="there are no examples"):
        load_template(write(tmp_path, GOOD[: GOOD.index("examples:\n")] + GOOD[end:]))


@pytest.mark.parametrize("block", ["", " \n"])
def test_an_empty_block_is_refused(tmp_path: Path, block: str) -> None:
    with pytest.raises(TemplateError, match=r"line 11: .*is empty"):
        load_template(write(tmp_path, block=block))


def test_a_block_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "blocks" / "house-rules.en.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"line 11: .*cannot be read"):
        load_template(path)


def test_the_shipped_blocks_are_found_from_anywhere(tmp_path: Path) -> None:
    shipped = sorted((TEMPLATES / "blocks").glob("*.txt")) if (TEMPLATES / "blocks").is_dir() else []
    for file in shipped:
        name, language = file.name.removesuffix(".txt").rsplit(".", 1)
        source = GOOD.replace("house-rules", name).replace("version: 1", f"version: 1\nlanguage: {language}")
        assert file.read_text(encoding="utf-8").strip() in rendered(load_template(write(tmp_path, source, None)))[0][1]
