"""Directives and roles that docutils does not know, such as those of Sphinx: their text is kept.

Sphinx itself is not used: it would run the extensions that a project's conf.py names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives, roles

# They insert other files or generated text, or arrange pages.
_INSERTS = frozenset({"include", "literalinclude"})
_DROPPED = _INSERTS | {
    "autoattribute", "autoclass", "autodata", "autoexception", "autofunction", "automethod", "automodule",
    "autosummary", "bibliography", "click", "contents", "currentmodule", "default-domain", "default-role", "digraph",
    "graph", "graphviz", "highlight", "image", "index", "mermaid", "meta", "module", "plantuml", "program", "raw",
    "sectionauthor", "tabularcolumns", "title", "toctree", "uml",
}  # fmt: skip
_CODE = frozenset({
    "code", "code-block", "console", "doctest", "ipython", "parsed-literal", "productionlist", "prompt", "sourcecode",
    "testcode", "testoutput",
})  # fmt: skip
# Their argument says how a page is built, and is not text.
_WRAPPERS = frozenset({
    "class", "container", "cssclass", "figure", "glossary", "grid", "grid-item", "hlist", "ifconfig", "only",
    "rst-class", "tab-set", "tabs",
})  # fmt: skip
# Directives whose argument is a version, and perhaps a text.
_VERSIONS = {
    "deprecated": "Deprecated since version",
    "deprecated-removed": "Deprecated since version",
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
}
_SEE_ALSO = "seealso"
# `text <target>`, and the prefixes of Sphinx's cross-references.
_TITLED = re.compile(r"(.+?)\s*<[^<>]*>", re.DOTALL)
_SHORTENED = re.compile(r"[!~]?([\w.]*)", re.ASCII)

# docutils looks names up in its modules, so that one parse at a time can have names of its own.
_lock = Lock()


class LeftOut:
    """Counts the directives that insert other files."""

    def __init__(self) -> None:
        self.inserts = 0


@contextmanager
def sphinx_language() -> Iterator[LeftOut]:
    """While it is open, docutils reads all directives and roles."""
    left_out = LeftOut()
    with _lock:
        known_directive, known_role = directives.directive, roles.role

        def directive(name: str, language: Any, document: Any) -> tuple[Any, list[Any]]:
            lower = name.lower().rpartition(":")[2]
            if lower in _INSERTS:
                left_out.inserts += 1
            if lower in _DROPPED:
                return _Dropped, []
            if lower in _CODE:
                return _Code, []
            if lower in _WRAPPERS or lower in _VERSIONS or lower == _SEE_ALSO:
                return _Text, []
            found, messages = known_directive(name, language, document)
            return (_Text, []) if found is None else (found, messages)

        def role(name: str, language: Any, line: int, reporter: Any) -> tuple[Any, list[Any]]:
            found, messages = known_role(name, language, line, reporter)
            return (_role, []) if found is None else (found, messages)

        directives.directive, roles.role = directive, role
        try:
            yield left_out
        finally:
            directives.directive, roles.role = known_directive, known_role


class _AnyOption(dict[str, Callable[[str | None], str]]):
    """Takes every option."""

    def __missing__(self, _name: str) -> Callable[[str | None], str]:
        return lambda value: value or ""


class _Lenient(Directive):  # type: ignore[misc]
    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    # docutils asks for options only if some are known.
    option_spec: ClassVar[Any] = _AnyOption({"class": lambda value: value or ""})


class _Dropped(_Lenient):
    def run(self) -> list[Any]:
        return []


class _Code(_Lenient):
    def run(self) -> list[Any]:
        text = "\n".join(self.content)
        return [nodes.literal_block(text, text)] if text.strip() else []


class _Text(_Lenient):
    """The content, behind the argument as its term, if that is text."""

    def run(self) -> list[Any]:
        name, found = self.name.lower().rpartition(":")[2], nodes.container()
        argument = "" if name in _WRAPPERS or not self.arguments else self.arguments[0]
        terms, text = argument.splitlines(), ""
        if name in _VERSIONS:
            version, _, text = " ".join(argument.split()).partition(" ")
            terms = [f"{_VERSIONS[name]} {version}".strip()]
        elif name == _SEE_ALSO:
            terms, text = ["See also"], argument
        # Several signatures stand on lines of their own.
        for term in filter(str.strip, terms):
            self._add(found, nodes.term, term.strip())
        if text:
            self._add(found, nodes.paragraph, text)
        self.state.nested_parse(self.content, self.content_offset, found)
        return [found]

    def _add(self, found: Any, kind: Any, text: str) -> None:
        inline, messages = self.state.inline_text(text, self.lineno)
        found += [kind(text, "", *inline), *messages]


def _role(
    _name: str,
    raw: str,
    text: str,
    _line: int,
    _inliner: Any,
    _options: Any = None,
    _content: Any = None,
) -> tuple[list[Any], list[Any]]:
    """The text of a cross-reference, without its target."""
    shown = nodes.unescape(text)
    if titled := _TITLED.fullmatch(shown):
        shown = titled[1]
    elif shown[:1] in "!~" and (name := _SHORTENED.fullmatch(shown)):
        shown = name[1].rpartition(".")[2] if shown.startswith("~") else name[1]
    return [nodes.inline(raw, shown)], []
