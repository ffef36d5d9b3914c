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
from docutils.parsers.rst import Directive, directives, roles, states

# They insert other files or generated text, or arrange pages.
_INSERTS = frozenset({"include", "literalinclude"})
_DROPPED = _INSERTS | {
    "autosummary", "bibliography", "click", "contents", "currentmodule", "date", "default-domain", "default-role",
    "digraph", "graph", "graphviz", "highlight", "image", "index", "mermaid", "meta", "module", "namespace",
    "namespace-pop", "namespace-push", "plantuml", "program", "raw", "section-numbering", "sectionauthor",
    "sectnum", "tabularcolumns", "title", "toctree", "uml",
}  # fmt: skip
# Generated text, perhaps with a written one below it.
_GENERATED = frozenset({
    "autoattribute", "autoclass", "autodata", "autodecorator", "autoenum", "autoexception", "autofunction",
    "automethod", "automodule", "autopydantic_model", "autoproperty",
})  # fmt: skip
_CODE = frozenset({
    "code", "code-block", "console", "doctest", "ipython", "productionlist", "prompt", "sourcecode", "testcode",
    "testoutput",
})  # fmt: skip
# What Sphinx describes: the argument is a signature, in which `*args` is no emphasis. So is that of every directive
# with the prefix of a language, such as `py:function`.
_DESCRIBED = frozenset({
    "attribute", "cfunction", "class", "classmethod", "cmacro", "cmdoption", "cmember", "confval", "ctype", "cvar",
    "data", "decorator", "decoratormethod", "describe", "envvar", "exception", "function", "method", "object",
    "option", "property", "staticmethod", "type",
})  # fmt: skip
# The argument of `class` is that of docutils if it names styles of a page, and a signature otherwise.
_STYLES = re.compile(r"[a-z][a-z0-9-]*(?:\s+[a-z][a-z0-9-]*)*")
# Options that Sphinx and its extensions add to the directives of docutils. A line with another one may be text.
_OPTIONS = frozenset({
    "align", "animate", "class", "collapsible", "color", "height", "icon", "label", "longtable", "name", "no-wrap",
    "nowrap", "number", "open", "width", "widths",
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
# The level of a message of docutils about text that it could not parse.
_ERROR = 3
# The letter of a key in the text of a button or a menu, as in "&File".
_KEY = re.compile(r"(?<!&)&(?![&\s])")
# `text <target>`, and the prefixes of Sphinx's cross-references.
_TITLED = re.compile(r"(.+?)\s*<[^<>]*>", re.DOTALL)
_SHORTENED = re.compile(r"[!~]?([\w.]*)", re.ASCII)

# docutils searches the rest of a paragraph for each mark in it, so that a long one would take quadratic time.
_LONGEST_PIECE, _SHORTEST_PIECE = 3000, 1500

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
        # A file may define roles, which docutils would keep for the next file.
        defined = dict(roles._roles)

        def directive(name: str, language: Any, document: Any) -> tuple[Any, list[Any]]:
            lower = name.lower().rpartition(":")[2]
            if lower in _INSERTS:
                left_out.inserts += 1
            if lower in _DROPPED:
                return _Dropped, []
            if lower in _GENERATED:
                return _Generated, []
            if lower in _CODE:
                return _Code, []
            if lower in _WRAPPERS or lower in _VERSIONS or lower == _SEE_ALSO:
                return _Text, []
            found, messages = known_directive(name, language, document)
            return (_Text, []) if found is None else (_with_options(found), messages)

        def role(name: str, language: Any, line: int, reporter: Any) -> tuple[Any, list[Any]]:
            found, messages = known_role(name, language, line, reporter)
            return (_role, []) if found is None else (_dropped_role if _is_raw(found) else found, messages)

        directives.directive, roles.role = directive, role
        try:
            yield left_out
        finally:
            directives.directive, roles.role = known_directive, known_role
            roles._roles.clear()
            roles._roles.update(defined)


def piecewise_inliner() -> Any:
    """Reads the markup of a very long paragraph in pieces. Their ends are those of lines or words."""
    # No class of its own: docutils builds its patterns from what the class itself has.
    inliner = states.Inliner()
    parse_piece = inliner.parse

    def parse(text: str, lineno: int, memo: Any, parent: Any) -> tuple[list[Any], list[Any]]:
        found: list[Any] = []
        messages: list[Any] = []
        start = 0
        while start < len(text):
            least, end = start + _SHORTEST_PIECE, start + _LONGEST_PIECE
            if end < len(text):
                end = text.rfind("\n", least, end) + 1 or text.rfind(" ", least, end) + 1 or end
            parsed, said = parse_piece(text[start:end], lineno, memo, parent)
            found += parsed
            messages += said
            start = end
        return found, messages

    inliner.parse = parse
    return inliner


class _AnyOption(dict[str, Callable[[str | None], str]]):
    """Takes every option."""

    def __missing__(self, _name: str) -> Callable[[str | None], str]:
        return lambda value: value or ""


def _with_options(known: Any) -> Any:
    """A directive of docutils that takes the options of Sphinx too."""
    spec = getattr(known, "option_spec", None)
    if not isinstance(known, type) or spec is None:
        return known
    added: dict[str, Any] = {name: lambda value: value or "" for name in _OPTIONS if name not in spec}
    return type(known.__name__, (known,), {"option_spec": {**spec, **added}})


class _Lenient(Directive):  # type: ignore[misc]
    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    # docutils asks for options only if some are known.
    option_spec: ClassVar[Any] = _AnyOption({"class": lambda value: value or ""})


class _Dropped(_Lenient):
    def run(self) -> list[Any]:
        # A substitution may stand for it, as `|br|` for a line break of HTML.
        name = self.name.lower()
        if name == "image":
            return [nodes.image(alt=self.options.get("alt", ""))]
        return [nodes.raw("", "")] if name == "raw" else []


class _Code(_Lenient):
    """Lines of code, below what they are called."""

    def run(self) -> list[Any]:
        # Without an empty line above them, docutils takes lines for the argument, which is the name of a language.
        begins_below = self.block_text.partition("\n")[0].rstrip().endswith("::")
        above = self.arguments[0].split("\n")[0 if begins_below else 1 :] if self.arguments else []
        text = "\n".join([*above, *([""] if above and self.content else []), *self.content])
        found: list[Any] = []
        if caption := self.options.get("caption", "").strip():
            inline, messages = self.state.inline_text(caption, self.lineno)
            found += [nodes.paragraph(caption, "", *inline), *messages]
        return [*found, nodes.literal_block(text, text)] if text.strip() else found


class _Text(_Lenient):
    """The content, behind the argument as its term, if that is text."""

    def run(self) -> list[Any]:
        domain, _, name = self.name.lower().rpartition(":")
        found = nodes.container()
        argument = self.arguments[0] if self.arguments else ""
        is_described = domain not in {"", "std"} or name in _DESCRIBED
        if name == "class" and not domain:
            is_described = bool(self.options) or _STYLES.fullmatch(argument) is None
        if name in _WRAPPERS and not (name == "class" and is_described):
            argument = ""
        terms, text = argument.splitlines(), ""
        if name in _VERSIONS:
            version, _, text = " ".join(argument.split()).partition(" ")
            terms = [f"{_VERSIONS[name]} {version}".strip()]
        elif name == _SEE_ALSO:
            terms, text = ["See also"], argument
        # Several signatures stand on lines of their own.
        for term in filter(str.strip, terms):
            if is_described:
                found += nodes.term("", term.strip())
            else:
                self._add(found, nodes.term, term.strip())
        if text:
            self._add(found, nodes.paragraph, text)
        self.state.nested_parse(self.content, self.content_offset, found)
        return [found]

    def _add(self, found: Any, kind: Any, text: str) -> None:
        inline, messages = self.state.inline_text(text, self.lineno)
        # The text is in the nodes, also where its markup is wrong.
        found += kind(text, "", *inline)
        found += [message for message in messages if message["level"] >= _ERROR]


class _Generated(_Text):
    def run(self) -> list[Any]:
        return super().run() if self.content else []


def _is_raw(role: Any) -> bool:
    """Whether a role of the file is for text of another language, such as HTML."""
    while (base := getattr(role, "base_role", None)) is not None:
        role = base
    return role is roles.raw_role


def _dropped_role(*_about: Any, **_options: Any) -> tuple[list[Any], list[Any]]:
    return [], []


# docutils asks for them where a file names a role of its own for raw text.
_dropped_role.options = {"format": directives.unchanged}  # type: ignore[attr-defined]


def _role(
    name: str,
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
    elif shown[:1] in "!~" and (target := _SHORTENED.fullmatch(shown)):
        shown = target[1].rpartition(".")[2] if shown.startswith("~") else target[1]
    if name.lower() in {"guilabel", "menuselection"}:
        shown = _KEY.sub("", shown).replace("&&", "&")
    return [nodes.inline(raw, shown)], []
