"""Front matter: the settings of a site generator before a Markdown text, in YAML or TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

# Characters. Longer settings are checked line by line and not parsed; a block beyond the second limit is text.
_MAX_PARSED = 20_000
_MAX_LENGTH = 200_000
_OPENING = re.compile(r"(---|\+\+\+)[ \t]*\n(?![ \t]*\n)")
_CLOSING = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[ \t]*$", re.MULTILINE),
}
# A key, a nested value, an entry of a list, the end of one, a comment, or nothing.
_YAML_KEY = re.compile(r"""(?:[\w.$/-]+|"[^"\n]*"|'[^'\n]*')[ \t]*:(?=\s|$)""")
_YAML_LINE = re.compile(rf"(?:{_YAML_KEY.pattern}.*|[ \t].*|-(?:[ \t].*)?|[\]}}].*|#.*|)")
_TOML_KEY = re.compile(r"""(?:[\w.-]+|"[^"\n]*"|'[^'\n]*')[ \t]*=""")
_TOML_LINE = re.compile(rf"(?:{_TOML_KEY.pattern}.*|\[.*|[ \t].*|[\]}}].*|#.*|)")
_TITLE = re.compile(r"""^["']?title["']?[ \t]*[:=][ \t]*(['"]?)(?P<title>\S.*?)\1[ \t]*$""", re.MULTILINE | re.I)


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """Where the text after the front matter begins, and what the settings say about the page."""

    end: int
    title: str | None
    description: str | None


def front_matter(text: str) -> FrontMatter | None:
    """The front matter of a text with "\\n" as the only line end; None if it begins with something else.

    A rule followed by text is not front matter, and neither are settings without an end or with other lines among them:
    they stay in the text. After the first rule there is no blank line, or it separates paragraphs.
    """
    opening = _OPENING.match(text)
    if opening is None:
        return None
    kind = opening[1]
    closing = _CLOSING[kind].search(text, opening.end(), opening.end() + _MAX_LENGTH)
    if closing is None or (closing.end() < len(text) and text[closing.end()] != "\n"):
        return None
    source = text[opening.end() : closing.start()]
    settings = _parsed(source, kind)
    if settings is None:
        key, line = (_YAML_KEY, _YAML_LINE) if kind == "---" else (_TOML_KEY, _TOML_LINE)
        lines = source.split("\n")
        if not any(map(key.match, lines)) or not all(map(line.fullmatch, lines)):
            return None
        named = _TITLE.search(source)
        settings = {"title": named["title"]} if named else {}
    found = {key.casefold(): " ".join(value.split()) for key, value in settings.items()}
    end = min(closing.end() + 1, len(text))
    return FrontMatter(end, found.get("title") or None, found.get("description") or None)


def _parsed(source: str, kind: str) -> Mapping[str, str] | None:
    """The settings that are texts; None if the source is not a table of settings."""
    if len(source) > _MAX_PARSED:
        return None
    try:
        return dict(_yaml_texts(source) if kind == "---" else _toml_texts(source))
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _yaml_texts(source: str) -> Iterator[tuple[str, str]]:
    # Composed only: building the values could take exponential time, because they may repeat each other.
    node = yaml.compose(source, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("no mapping")
    for key, value in node.value:
        # A sentence with a colon is a mapping in YAML.
        if not isinstance(key, yaml.ScalarNode) or (key.style is None and " " in key.value):
            raise ValueError("no name of a setting")
        if isinstance(value, yaml.ScalarNode) and value.tag != "tag:yaml.org,2002:null":
            yield key.value, value.value


def _toml_texts(source: str) -> Iterator[tuple[str, str]]:
    settings = tomllib.loads(source)
    if not settings:
        raise ValueError("no settings")
    for key, value in settings.items():
        if isinstance(value, str):
            yield key, value
