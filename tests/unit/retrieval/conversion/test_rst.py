"""reStructuredText to text: its own language, what Sphinx adds, and what a file must not do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from docutils.parsers.rst import directives, roles

from retrieval import ConversionError
from retrieval.conversion.convert import convert_here
from retrieval.conversion.converted import Converted


def converted(text: str) -> Converted:
    return convert_here(text.encode(), ".rst", "a.rst")


def text_of(text: str) -> str:
    return converted(text).text


def test_headings_paragraphs_and_the_title() -> None:
    page = converted("Fees\n====\n\nAll of them.\n\nAbroad\n------\n\nNone at\nhome.\n\nCash\n~~~~\n\nTwo.\n")
    assert page.title == "Fees"
    assert page.text == "# Fees\n\nAll of them.\n\n## Abroad\n\nNone at home.\n\n### Cash\n\nTwo.\n"
    assert [mark.level for mark in page.marks or () if mark.kind == "heading"] == [1, 2, 3]
    # Of several headings of one level, none is the title of the document.
    assert text_of("One\n===\n\na\n\nTwo\n===\n\nb\n") == "# One\n\na\n\n# Two\n\nb\n"
    assert converted("No heading.\n").title is None


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("- one\n\n  more\n\n  - two\n- three\n", "- one\n  more\n  - two\n- three\n"),
        ("3. three\n4. four\n\n   b. sub\n", "3. three\n4. four\n  b. sub\n"),
        ("term\n   meaning\n\nother\n   - entry\n", "term: meaning\n\nother:\n\n- entry\n"),
        (":Author: Ann\n:Fee: 5\n\nText\n", "Author: Ann\n\nFee: 5\n\nText\n"),
        ("-a, --all FILE  all of it\n", "-a, --all FILE: all of it\n"),
        ("| line one\n| line two\n", "line one\nline two\n"),
        ("Run::\n\n   a = 1\n     b\n", "Run:\n\na = 1\n  b\n"),
        (">>> 1 + 1\n2\n", ">>> 1 + 1\n2\n"),
        ("    quoted\n", "quoted\n"),
        ("a [1]_ b\n\n.. [1] note\n", "a [1] b\n\n[1] note\n"),
        ("10\\ :sup:`6` m\\ :sup:`2`, 30\\ [1]_ days\n\n.. [1] x\n", "10⁶ m², 30[1] days\n\n[1] x\n"),
        ("*a* **b** ``c`` `d <http://x>`_ |e|\n\n.. |e| replace:: f\n", "a b c d f\n"),
        (".. comment\n\n.. _target:\n\ntext\n", "text\n"),
        (".. note:: Bring it.\n\n   Second.\n", "Note: Bring it.\n\nSecond.\n"),
        (".. warning::\n\n   - one\n", "Warning:\n\n- one\n"),
    ],
)
def test_blocks(source: str, text: str) -> None:
    assert text_of(source) == text


def test_tables_repeat_merged_cells() -> None:
    simple = "==== =====\nLand Price\n==== =====\nChad 5\nTogo 7\n==== =====\n"
    assert text_of(simple) == "Land | Price\nChad | 5\nTogo | 7\n"
    grid = "+---+---+\n| a | b |\n+===+===+\n| wide  |\n+---+---+\n| c | d |\n|   +---+\n|   | e |\n+---+---+\n"
    assert text_of(grid) == "a | b\nwide | wide\nc | d\nc | e\n"
    assert text_of('.. csv-table:: Prices\n   :header: "a", "b"\n\n   "x, y", 3\n') == "Prices\n\na | b\nx, y | 3\n"
    assert text_of(".. list-table::\n\n   * - A\n     - B\n   * - 1\n     - 2\n") == "A | B\n1 | 2\n"
    assert [mark.kind for mark in converted(simple).marks or ()] == ["table"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("See :doc:`the list <fees>`, :ref:`limits`.\n", "See the list, limits.\n"),
        (":py:func:`~shop.pay.refund` and :class:`!Card`\n", "refund and Card\n"),
        (".. py:function:: f(x)\n              f(x, y)\n\n   Does it.\n", "f(x), f(x, y): Does it.\n"),
        (".. confval:: FEE\n   :type: int\n\n   In euros.\n", "FEE: In euros.\n"),
        (".. versionadded:: 3.1\n", "New in version 3.1\n"),
        (".. versionchanged:: 3.2\n   It is free.\n", "Changed in version 3.2: It is free.\n"),
        (".. deprecated:: 4 Pay instead.\n", "Deprecated since version 4: Pay instead.\n"),
        (".. seealso::\n\n   - fees\n", "See also:\n\n- fees\n"),
        (".. seealso:: The fees.\n", "See also: The fees.\n"),
        (".. code-block:: python\n   :emphasize-lines: 1\n\n   a = 1\n", "a = 1\n"),
        (".. only:: html\n\n   Shown.\n", "Shown.\n"),
        (".. glossary::\n\n   fee\n      What it costs.\n", "fee: What it costs.\n"),
        (".. figure:: a.png\n   :figwidth: odd\n\n   The caption.\n", "The caption.\n"),
        (".. tab-item:: Linux\n   :sync: key\n\n   Install it.\n", "Linux: Install it.\n"),
        (".. toctree::\n   :maxdepth: 2\n\n   fees\n\ntext\n", "text\n"),
        (".. never-heard-of:: An *argument*\n\n   Content.\n", "An argument: Content.\n"),
    ],
)
def test_sphinx_directives_and_roles_keep_their_text(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # A title with a single heading below it, and what is below that.
        ("T\n=\n\nS\n-\n\na\n\nU\n~\n\nb\n", "# T\n\n## S\n\na\n\n### U\n\nb\n"),
        (".. sidebar:: S\n   :subtitle: u\n\n   a\n", "S\n\nu\n\na\n"),
        (":orphan:\n:tocdepth: 2\n\nT\n=\n\na\n", "# T\n\na\n"),
        # Headings have no numbers that the file does not have.
        ("T\n=\n\n.. sectnum::\n\nA\n-\n\na\n", "# T\n\n## A\n\na\n"),
        (":Authors: Ann; Bob\n\na\n", "Authors: Ann; Bob\n\na\n"),
        ("a [1]_\n\n.. [1] b:\n\n   - c\n   - d\n\n   ::\n\n     e\n", "a [1]\n\n[1] b:\n\n- c\n- d\n\ne\n"),
        ("- .. _t:\n\n  a\n\n- .. index:: i\n\n  b\n\n- | c\n  | d\n", "- a\n- b\n- c\n  d\n"),
        ("2. ::\n\n     a\n\n3. b\n", "2.\n\na\n\n3. b\n"),
        ("- .. note:: a\n\n  b\n", "Note: a\n\n  b\n"),
    ],
)
def test_headings_notes_and_entries(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (".. class:: Foo(a)\n\n   D\n", "Foo(a): D\n"),
        (".. class:: Foo\n   :module: x\n\n   D\n", "Foo: D\n"),
        (".. py:class:: foo\n\n   D\n", "foo: D\n"),
        (".. cpp:class:: template<typename T> Bar\n\n   D\n", "template<typename T> Bar: D\n"),
        (".. class:: special\n\npara\n", "para\n"),
        (".. py:function:: f(*a, **k)\n\n   D\n", "f(*a, **k): D\n"),
        (
            ".. method:: __init__(self, *, sep='\\n', x_, `y`, |z|)\n\n   D\n",
            "__init__(self, *, sep='\\n', x_, `y`, |z|): D\n",
        ),
        (".. describe:: *a\n\n   D\n", "*a: D\n"),
        (".. dropdown:: *a* and *b\n\n   D\n", "a and *b: D\n"),
        (".. autofunction:: a.b\n\n   Written.\n\n.. autoclass:: C\n   :members:\n", "a.b: Written.\n"),
        (".. code-block:: py\n   :caption: a.py\n\n   a = 1\n", "a.py\n\na = 1\n"),
        (".. code-block::\n   a = 1\n   b = 2\n", "a = 1\nb = 2\n"),
        (".. productionlist::\n   a: b\n    : c\n", "a: b\n : c\n"),
        (".. productionlist:: g\n   a: b\n", "a: b\n"),
        (
            ".. parsed-literal::\n\n   x==\\ |v| *e* 10\\ :sup:`6`\n     y\n\n.. |v| replace:: 3\n",
            "x==3 e 10⁶\n  y\n",
        ),
        (".. math:: e = mc^2\n   :label: x\n", "e = mc^2\n"),
        (".. note::\n   :collapsible: yes\n\n   a\n", "Note: a\n"),
        (".. list-table:: T\n   :width: 5 cm\n   :color: x\n\n   * - A\n     - B\n", "T\n\nA | B\n"),
        ("a |br| b |i| c\n\n.. |br| raw:: html\n\n   <br>\n.. |i| image:: i.png\n   :alt: Save\n", "a b Save c\n"),
        (".. role:: raw-html(raw)\n   :format: html\n\na :raw-html:`<b>` c\n", "a c\n"),
        (":guilabel:`&Save` :menuselection:`&File --> A && B`\n", "Save File --> A & B\n"),
    ],
)
def test_sphinx_as_it_is_written(source: str, text: str) -> None:
    assert text_of(source) == text


def test_a_table_in_a_cell_stands_in_that_cell_alone() -> None:
    table = (
        ".. list-table::\n\n   * - A\n     - .. list-table::\n\n          * - x\n            - y\n"
        "   * - .. admonition:: Ti\n\n          body\n     - z\n"
    )
    assert text_of(table) == "A | x | y\nTi body | z\n"


def test_the_text_is_the_same_on_every_day() -> None:
    # docutils would write the date of the machine, and SOURCE_DATE_EPOCH of the environment.
    assert text_of("It is |d|.\n\n.. |d| date:: %Y\n") == "It is |d|.\n"


@pytest.mark.parametrize("line", ["Text", "=====\nText\n===", "+---+\n| x\n", "|a| and `b`_ and *c"])
def test_what_cannot_be_parsed_is_kept(line: str) -> None:
    text = text_of(f"First.\n\n{line}\n\nLast.\n")
    assert text.startswith("First.")
    assert text.endswith("Last.\n")
    for word in ("Text", "x", "a", "b", "c"):
        assert word not in line or word in text


def test_other_files_and_raw_text_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.rst"
    secret.write_text("zanzibar")
    page = converted(
        f".. include:: {secret}\n\n.. literalinclude:: {secret}\n\n.. csv-table::\n   :file: {secret}\n\n"
        f".. raw:: html\n   :file: {secret}\n\n.. raw:: html\n\n   <b>zanzibar</b>\n\n.. figure:: {secret}\n\ntext\n"
    )
    assert page.text == "text\n"
    [note] = page.notes
    assert note.startswith("2 inserted files were not read here")


def test_a_users_settings_file_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("zanzibar")
    (tmp_path / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCUTILSCONFIG", str(tmp_path / "docutils.conf"))
    assert text_of(f".. csv-table::\n   :file: {secret}\n\ntext\n") == "text\n"


def test_a_role_of_one_file_is_none_of_another() -> None:
    text_of(".. role:: shout(raw)\n   :format: html\n\n:shout:`a`\n")
    assert text_of("The :shout:`fee` is due.\n") == "The fee is due.\n"


def test_a_long_paragraph_keeps_its_words_in_linear_time() -> None:
    began = time.monotonic()
    assert text_of("`a " * 8000).split() == ["`a"] * 8000
    assert time.monotonic() - began < 10


def test_docutils_is_left_as_it_was() -> None:
    before = directives.directive, roles.role
    text_of(".. never-heard-of::\n")
    with pytest.raises(ConversionError, match=r"a\.rst cannot be read as reStructuredText \(RecursionError"):
        text_of("".join(f"{'  ' * depth}- a\n\n" for depth in range(400)))
    assert (directives.directive, roles.role) == before
