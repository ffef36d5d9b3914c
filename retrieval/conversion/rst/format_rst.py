"""reStructuredText: headings, paragraphs, lists, tables and code, with what Sphinx adds to the language."""

from __future__ import annotations

from retrieval.conversion.converted import Converted, MarkdownWriter, decode_utf8, insert_notes
from retrieval.conversion.raised import without_markers
from retrieval.errors import ConversionError

VERSION = "rst/2"

# In characters. By default docutils reads no file with a line of more than 10,000.
_LONGEST_LINE = 10_000_000
_SETTINGS = {
    # A file must not read others, and the user's docutils.conf must not change what a file says.
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "line_length_limit": _LONGEST_LINE,
    "syntax_highlight": "none",
    # As in Sphinx, every title has the level of its marks: a lone heading below the first one is no subtitle, whose
    # own headings would move up. Fields stay as they are written.
    "doctitle_xform": False,
    "docinfo_xform": False,
    # Messages stand in the document tree, with the text that could not be parsed. None stops the parser.
    "report_level": 5,
    "halt_level": 6,
}


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text, or too deeply nested for docutils."""
    text = without_markers(decode_utf8(data, name))
    from docutils.core import publish_doctree
    from docutils.parsers.rst import Parser

    from retrieval.conversion.rst.blocks import BlockReader
    from retrieval.conversion.rst.extensions import piecewise_inliner, sphinx_language

    writer = MarkdownWriter()
    try:
        with sphinx_language() as left_out:
            tree = publish_doctree(
                text, source_path=name, parser=Parser(inliner=piecewise_inliner()), settings_overrides=_SETTINGS
            )
        BlockReader(writer).read(tree)
    except (RecursionError, IndexError, AttributeError, KeyError, ValueError, TypeError) as error:
        # docutils raises any of these for some malformed texts.
        raise ConversionError(
            found=f"{name} cannot be read as reStructuredText ({type(error).__name__}: {error})",
            expected="a text that docutils can parse",
            next_step=f"check {name} with `docutils`, or save it as {name.removesuffix('.rst')}.txt",
        ) from error
    return Converted(writer.text(), writer.title, notes=insert_notes(left_out.inserts))
