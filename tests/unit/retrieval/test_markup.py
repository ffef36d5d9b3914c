"""Text without markup."""

import pytest

from retrieval.documents import embedded_text
from retrieval.markup import plain, without_markup
from tests.support.effort import effort


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **bold** word", "a bold word"),
        ('minimum_length** <span id="minimum_length"/> is 512', "minimum_length is 512"),
        ('see [the `log` page](/docs/log "Log") and [this][1]', "see the `log` page and this"),
        ("![A chart](chart.png) shows it", "A chart shows it"),
        ("in Brew:\n\n```sh\nbrew install zola\n```", "in Brew: brew install zola"),
        ("`**kwargs` and `[a](b)` are code", "`**kwargs` and `a` are code"),
        ("cookie [<name> [<secret>]] stays", "cookie [<name> [<secret>]] stays"),
        ("__init__ and my__name stay? __Yes__", "init and my__name stay? Yes"),
        ("2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
        ("two\n  lines", "two lines"),
        ('see [this]({% page "leave/" %}) and {% image "a.png" %}it', "see this and it"),
        ("a {{ value }} of {% for x in y %}", "a {{ value }} of {% for x in y %}"),
        ("[a [nested] text](https://x.org/a_(b)) ends", "a [nested] text ends"),
        (
            "call _(877) 472-6716_ or *now*, not snake_case_names or 2 * 3 * 4",
            "call (877) 472-6716 or now, not snake_case_names or 2 * 3 * 4",
        ),
        ('Themes {%- include badge.html version="4.0" -%}', "Themes"),
        ("Installing {#installing-a-theme}", "Installing"),
        ("one <!-- hidden\nnote --> two", "one two"),
    ],
)
def test_markup_is_left_out(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_code_blocks_keep_their_text() -> None:
    text = "**Call** it:\n```py\ndef __init__(self, **options):\n    x = a[0](b)\n```\nand **stop**."
    assert without_markup(text) == "Call it:\n\ndef __init__(self, **options):\n    x = a[0](b)\n\nand stop."


def test_lines_stay_and_text_without_markup_is_the_same_object() -> None:
    assert without_markup("- **one**\n- [two](x)\n") == "- one\n- two\n"
    text = "No markup.\n\nTwo  spaces."
    assert without_markup(text) is text


@pytest.mark.parametrize("piece", ["[", "<!--", "<a ", " ", "`", "*", "_", "{% page ", "![a](", "[[a]", "{#", "](("])
def test_hostile_text_takes_no_quadratic_time(piece: str) -> None:
    text = f"x{piece * 40_000}y"
    assert effort(lambda: without_markup(text)) < 200


def test_the_encoder_reads_no_markup() -> None:
    assert embedded_text("T", "", "see [the guide](https://example.org)") == "T\nsee the guide"
