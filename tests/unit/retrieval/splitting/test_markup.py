"""Text without markup."""

import pytest

from retrieval.splitting.markup import plain


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
    ],
)
def test_markup_is_left_out(text: str, shown: str) -> None:
    assert plain(text) == shown
