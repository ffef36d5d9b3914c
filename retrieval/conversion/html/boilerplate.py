"""The parts around a page's content: navigation, footers, cookie banners, skip links.

When in doubt a part is kept: text that is left out can never be found, and superfluous text costs little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrieval.conversion.html.elements import HEADINGS, attribute, count_words, names
from retrieval.conversion.html.left_out import BANNERS, FOOTERS, NAVIGATION, LeftOut, shown_text
from retrieval.conversion.html.prune import prune

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_CONTENT = "main, article, [role='main'], h1, table"
_TEXT = "p, h1, h2, h3, h4, h5, h6, table, main, article"
_CONTENT_TAGS = frozenset({"main", "article"})
_NO_BANNERS = frozenset({"html", "body", "main", "article", "header", "a", "button"})
# A footer of one of these is part of its text.
_FOOTED = frozenset({"main", "article", "section", "aside", "blockquote", "figure", "td", "dialog", "li"})
_MENU = (
    "[class*='nav' i], [class*='menu' i], [class*='crumb' i], [class*='pag' i], "
    "[id*='nav' i], [id*='menu' i], [id*='crumb' i], [id*='pag' i]"
)
_MENU_NAMES = frozenset({
    *("nav", "navbar", "navigation", "site-nav", "site-navigation", "main-nav", "main-navigation", "main-menu"),
    *("mainmenu", "mainnav", "topnav", "top-nav", "sidenav", "side-nav", "menu", "menubar", "nav-menu", "nav-links"),
    *("breadcrumb", "breadcrumbs", "pagination", "pager", "primary-menu", "primary-nav", "footer-nav", "footer-menu"),
})  # fmt: skip
_WITHIN_CONTENT = frozenset({"breadcrumb", "breadcrumbs", "pagination", "pager"})
_FOOTER = "footer, [role='contentinfo' i], [class*='foot' i], [id*='foot' i], [class*='colophon' i], [id*='colophon' i]"
_FOOTER_NAMES = frozenset({"footer", "site-footer", "page-footer", "sitefooter", "pagefooter", "colophon"})
_BANNER = (
    "[class*='cookie' i], [id*='cookie' i], [class*='consent' i], [id*='consent' i], [aria-label*='cookie' i], "
    "[class*='gdpr' i], [id*='gdpr' i], [class*='banner' i], [id*='banner' i], [class*='popup' i], [id*='popup' i], "
    "[class*='modal' i], [id*='modal' i], [class*='notice' i], [class*='overlay' i], [role='dialog'], "
    "[role='alertdialog'], dialog, [id*='onetrust' i], [id*='didomi' i], [class*='cc-window' i]"
)
# What has one of these names only must say more plainly that it is a banner.
_NAMED_BANNER = "[class*='privacy' i], [id*='privacy' i], [id*='usercentrics' i]"
_CONSENT = re.compile(r"\bcookies?\b|\bconsent\b|gdpr|dsgvo|Cookie|クッキー", re.IGNORECASE)
# Names of what asks for consent, whatever it calls it.
_CONSENT_NAME = re.compile(
    r"(?:cookie|consent|gdpr|dsgvo|privacy)s?[-_]?(?:law|policy|settings|preferences|consent)?[-_]?"
    r"(?:banner|bar(?![a-z])|notice|consent|pop-?up|modal|dialog|overlay|wall|layer|prompt|message|manager)|"
    r"onetrust|didomi|usercentrics|cc-window",
    re.IGNORECASE,
)
_CONSENT_LABEL = re.compile(r"cookie|consent|privacy|tracking|datenschutz|confidentialit|privacidad", re.IGNORECASE)
_ANSWER = re.compile(
    r"accept|only (?:essential|necessary)|(?:essential|necessary)(?: cookies)? only|"
    r"save (?:my )?(?:preferences|choices)|"
    r"agree|allow|got it|ok(?:ay)?\b|understand|reject|decline|dismiss|akzeptieren|zustimmen|verstanden|"
    r"ablehnen|accepter|refuser|aceptar|rechazar|accetta|rifiuta|akkoord|accepteren|godkänn|acceptera|同意|接受|허용",
    re.IGNORECASE,
)
_SKIP = re.compile(
    r"(?:skip|jump|go) (?:directly )?to (?:the )?(?:main|content|navigation|search|footer|page|text)\b|"
    r"skip (?:nav|links?\b)|zum (?:haupt)?inhalt|(?:aller|passer) au contenu|"
    r"(?:saltar|ir) al contenido|vai al contenuto",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"©|\(c\)|copyright|all rights reserved|alle rechte vorbehalten", re.IGNORECASE)
_MARK_NAMES = frozenset({"headerlink", "header-anchor", "mw-editsection", "anchor-link", "permalink"})

_PROSE_WORDS = 8
_PROSE_DIGITS = 5
_FOOTER_WORDS, _COPYRIGHT_WORDS = 4, 25
_BANNER_WORDS, _BANNER_LENGTH = 200, 5000
_MENU_LINK_SHARE, _BREADCRUMB_LINK_SHARE, _MENU_LINK_WORDS = 0.8, 0.3, 5
# Hostile pages have many elements of a kind, deeply nested: the rest of them is kept.
_MAX_CANDIDATES, _MAX_ANCESTORS = 500, 200


def find_boilerplate(tree: LexborHTMLParser, left_out: LeftOut) -> None:
    for node in _banners(tree):
        left_out.add(node, BANNERS)
    done: set[int] = set()
    for node in _outermost(tree, "nav, [role='navigation' i]", left_out, done):
        if node.css_first(_CONTENT) is None:
            done.add(node.mem_id)
            prune(node, NAVIGATION, left_out, _is_sentence)
    for node in _outermost(tree, _MENU, left_out, done, called=_MENU_NAMES):
        if _is_menu(node):
            left_out.add(node, NAVIGATION)
    for node in _outermost(tree, _FOOTER, left_out, done):
        if _is_page_footer(node) and _is_at_end(node, left_out):
            done.add(node.mem_id)
            prune(node, FOOTERS, left_out, _is_said_in_footer)
    for node in _links_of_the_page(tree):
        left_out.add(node, NAVIGATION)


def _outermost(
    tree: LexborHTMLParser, selector: str, left_out: LeftOut, done: set[int], *, called: frozenset[str] = frozenset()
) -> Iterator[LexborNode]:
    """The elements of a kind that are in none that is `done`, and in no part that is left out.

    `called`: only those that have one of these names.
    """
    for node in tree.css(selector)[:_MAX_CANDIDATES]:
        if called and not names(node) & called:
            continue
        above = [parent.mem_id for parent in _ancestors(node)]
        if len(above) < _MAX_ANCESTORS and not any(id_ in done or id_ in left_out.parts for id_ in above):
            yield node


def _ancestors(node: LexborNode) -> Iterator[LexborNode]:
    parent = node.parent
    for _ in range(_MAX_ANCESTORS):
        if parent is None:
            return
        yield parent
        parent = parent.parent


def _is_within(node: LexborNode, tags: frozenset[str]) -> bool:
    return any(parent.tag in tags or attribute(parent, "role") == "main" for parent in _ancestors(node))


def _is_sentence(text: str) -> bool:
    return count_words(text) >= _PROSE_WORDS or sum(map(str.isdigit, text)) >= _PROSE_DIGITS


def _is_said_in_footer(text: str) -> bool:
    words = count_words(text)
    if _COPYRIGHT.search(text):
        return words > _COPYRIGHT_WORDS
    return words >= _FOOTER_WORDS or any(map(str.isdigit, text))


def _is_menu(node: LexborNode) -> bool:
    """Whether an element that is called a menu is little else than short links."""
    may_stand_in_content = bool(names(node) & _WITHIN_CONTENT)
    if not may_stand_in_content and _is_within(node, _CONTENT_TAGS):
        return False
    links = [count_words(link.text()) for link in node.css("a")]
    words = count_words(node.text(separator=" "))
    # The last part of a breadcrumb is the page itself, and no link.
    share = _BREADCRUMB_LINK_SHARE if may_stand_in_content else _MENU_LINK_SHARE
    return (
        len(links) > 1
        and node.css_first(_CONTENT) is None
        and sum(links) >= share * words
        and words <= (len(links) + 2) * _MENU_LINK_WORDS
    )


def _is_page_footer(node: LexborNode) -> bool:
    is_named = node.tag == "footer" or attribute(node, "role") == "contentinfo" or bool(names(node) & _FOOTER_NAMES)
    if not is_named or _is_within(node, _FOOTED) or node.css_first("main, article, h1") is not None:
        return False
    return node.css_first("a") is not None or _COPYRIGHT.search(shown_text(node)) is not None


def _is_at_end(node: LexborNode, left_out: LeftOut) -> bool:
    """Whether no paragraph, heading or table follows, except in other footers and what is left out."""
    for part in (node, *_ancestors(node)):
        after = part.next
        while after is not None:
            if not (
                (after.tag or "").startswith("-")
                or after.mem_id in left_out.parts
                or after.tag == "footer"
                or names(after) & _FOOTER_NAMES
                or after.css_first(_TEXT) is None
            ):
                return False
            after = after.next
    return True


def _banners(tree: LexborHTMLParser) -> Iterator[LexborNode]:
    """Short parts outside the content that speak of cookies and ask for an answer."""
    known = [(node, True) for node in tree.css(_BANNER)[:_MAX_CANDIDATES]]
    named = [(node, False) for node in tree.css(_NAMED_BANNER)[:_MAX_CANDIDATES]]
    for node, is_known in known + named:
        if node.tag in _NO_BANNERS or node.css_first(_CONTENT) is not None:
            continue
        text = node.text(separator=" ")
        if (
            len(text) <= _BANNER_LENGTH
            and ((is_known and _CONSENT.search(text)) or _asks_for_consent(node))
            and count_words(text) <= _BANNER_WORDS
            and any(map(_is_answer, node.css("button, a, input, [role='button']")))
            and not _is_within(node, _CONTENT_TAGS)
        ):
            yield node


def _asks_for_consent(node: LexborNode) -> bool:
    """Whether the names of an element, or the label of a dialog, say that it asks for consent."""
    if _CONSENT_NAME.search(f"{attribute(node, 'id')} {attribute(node, 'class')}"):
        return True
    is_dialog = node.tag == "dialog" or attribute(node, "role") in {"dialog", "alertdialog"}
    return is_dialog and _CONSENT_LABEL.search(attribute(node, "aria-label")) is not None


def _is_answer(control: LexborNode) -> bool:
    text = shown_text(control) or attribute(control, "value")
    return count_words(text) <= _MENU_LINK_WORDS and _ANSWER.search(text) is not None


def _links_of_the_page(tree: LexborHTMLParser) -> Iterator[LexborNode]:
    """Links to the page's own content, and the signs beside headings that link to them."""
    for link in tree.css("a[href^='#']"):
        text = link.text().strip()
        if _SKIP.match(text) or (
            not any(character.isalnum() for character in text)
            and link.parent is not None
            and (link.parent.tag in HEADINGS or names(link) & _MARK_NAMES)
        ):
            yield link
    yield from tree.css(".mw-editsection")
