"""What surrounds the content of HTML pages is left out and counted, and content is not."""

from __future__ import annotations

import pytest

from retrieval.conversion.convert import convert_here
from retrieval.conversion.converted import Converted

SENTENCE = "You may return goods within thirty days if they are unused."
MENU = "<ul><li><a href=/>Home</a><li><a href=/shop>Shop</a><li><a href=/help>Help</a></ul>"


def convert(body: str) -> Converted:
    return convert_here(
        f"<html><head><meta charset=utf-8></head><body>{body}</body></html>".encode(), ".html", "page.html"
    )


def read(body: str) -> str:
    return convert(body).text.rstrip("\n")


@pytest.mark.parametrize(
    "part",
    [
        f"<nav>{MENU}</nav>",
        f"<header><nav aria-label=Main>{MENU}</nav></header>",
        f"<div role=navigation>{MENU}</div>",
        f"<div class='site main-menu'>{MENU}</div>",
        "<ol class=breadcrumb><li><a href=/>Home</a><li><a href=/help>Help</a><li>Returns</ol>",
        f"<footer>{MENU}<p>© 2030 Acme Ltd. All rights reserved.</footer>",
        f"<div id=footer><h4>Company</h4>{MENU}</div>",
        "<div id=cookie-banner><p>We use cookies to improve our site.</p><button>Accept all</button></div>",
        "<div role=dialog aria-label='Cookie consent'>We use cookies.<a href=/c>More</a><button>OK</button></div>",
        "<section class='banner'>This site uses cookies.<input type=button value='Got it'></section>",
        "<div id=cookie-banner><p>We value your privacy.</p><button>Accept everything</button></div>",
        "<section class='privacy-popup'>We and our partners store data.<button>I agree</button></section>",
        "<div role=dialog aria-label='Privacy settings'>We use trackers.<button>Only necessary</button></div>",
        "<div id=usercentrics-root>We measure your visit.<a href=/p>Terms</a><button>Reject all</button></div>",
        "<a class=skip-link href='#main'>Skip to main content</a>",
        "<a href='#c'>Zum Inhalt springen</a>",
        "<div hidden>Secret words</div>",
        "<p style='color:red; display: none'>Secret words</p>",
        "<p style='VISIBILITY:HIDDEN'>Secret words</p>",
        "<template><p>Secret words</template>",
        "<script>var a = 'Secret words'</script>",
        "<noscript>Please enable JavaScript.</noscript>",
        "<dialog>Secret words</dialog>",
        "<span aria-hidden=true>★</span>",
        "<iframe>Secret words</iframe>",
    ],
)
def test_what_surrounds_the_content_is_left_out(part: str) -> None:
    content = f"<h1>Returns</h1><p>{SENTENCE}</p>"
    expected = f"# Returns\n\n{SENTENCE}"
    if "foot" not in part:
        assert read(part + content) == expected
        assert read(f"{part}<main>{content}</main>{part}") == expected
    assert read(content + part) == expected
    assert read(f"<main>{content}</main>{part}") == expected


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (
            "<article><header>By Ann Lee</header><p>Text.</p><footer>See <a href=/x>the terms</a></footer></article>",
            "By Ann Lee\n\nText.\n\nSee the terms",
        ),
        (f"<nav><p>{SENTENCE}</p></nav>", SENTENCE),
        ("<footer><p>Shop: 12 High Street, Leeds</p></footer>", "Shop: 12 High Street, Leeds"),
        ("<footer><address>Call 0123 456 789</address></footer>", "Call 0123 456 789"),
        (
            "<div class=card><p>Gold</p><footer><a href=/o>Order</a></footer></div><p>More",
            "Gold\n\nOrder\n\nMore",
        ),
        ("<div class=card><p>Gold</p><footer>20 € <a href=/o>Order</a></footer></div>", "Gold\n\n20 € Order"),
        (f"<nav>{MENU}<p>Call 0123 456</p></nav>", "Call 0123 456"),
        ("<main><footer>Fees are <a href=/f>net</a></footer></main>", "Fees are net"),
        (
            "<section><h2>Cookies</h2><p>We use cookies. <a href=/c>More</a></section>",
            "## Cookies\n\nWe use cookies. More",
        ),
        (
            "<div class=cookie-policy>Our cookies need your consent. <a href=/b>Read more</a></div>",
            "Our cookies need your consent. Read more",
        ),
        (
            "<div class=privacy-text>You consent to calls. <button>Accept</button></div>",
            "You consent to calls. Accept",
        ),
        (
            "<div class=cookie-notice><p>Our biscuits are baked daily.</p><a href=/b>Order</a></div>",
            "Our biscuits are baked daily.\n\nOrder",
        ),
        (
            "<div role=dialog aria-label=Fees><p>Cards are free.</p><button>OK</button></div>",
            "Cards are free.\n\nOK",
        ),
        (
            "<div class=menu><p>Soup of the day 4.50, <a href=/s>salad</a> 5.00</div>",
            "Soup of the day 4.50, salad 5.00",
        ),
        ("<div role=tabpanel id=t hidden>Second tab</div>", "Second tab"),
        ("<button aria-controls=more>More</button><div id=more hidden>Opened text</div>", "More\n\nOpened text"),
        ("<div hidden=until-found>Found text</div>", "Found text"),
        ("<p aria-hidden=true>Closed on Sundays</p>", "Closed on Sundays"),
        ("<p style='display:block'>Shown</p>", "Shown"),
        ("<aside>A tip for you</aside>", "A tip for you"),
        ("<dialog open>Shown words</dialog>", "Shown words"),
        ("<ul><li><a href=/a>Form A</a><li><a href=/b>Form B</a></ul>", "- Form A\n- Form B"),
        ("<header>Acme help pages</header>", "Acme help pages"),
        (f"<noscript>{SENTENCE} {SENTENCE} {SENTENCE}</noscript>", f"{SENTENCE} {SENTENCE} {SENTENCE}"),
    ],
)
def test_content_is_kept(part: str, text: str) -> None:
    assert read(f"<p>First.</p>{part}") == f"First.\n\n{text}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<nav>{MENU}</nav>", "- Home\n- Shop\n- Help"),
        (f"<header>Acme</header><h1>Index</h1><nav>{MENU}</nav><footer><a href=/>x</a></footer>", None),
        ("<footer><a href=/a>Imprint</a></footer>", "Imprint"),
        ("<body style='display:none'><p>Text", "Text"),
        ("<div style='visibility:hidden'><p>Text</div>", "Text"),
        ("<noscript><p>Text</p></noscript>", "Text"),
        ("<nav><ul><li><a href=/>Home</a></ul><main><p>Text</main>", "- Home\n\nText"),
    ],
)
def test_a_page_without_other_content_keeps_it(body: str, text: str | None) -> None:
    found = read(body)
    if text is None:
        assert "- Home\n- Shop\n- Help" in found
        assert "Index" in found
    else:
        assert found == text


def test_prose_in_navigation_and_footers_is_kept_without_the_links() -> None:
    assert read(f"<p>Text.</p><nav>{MENU}<p>{SENTENCE}</p></nav>") == f"Text.\n\n{SENTENCE}"
    footer = f"<footer><div><h3>Visit us</h3><p>12 High Street, Leeds</p></div><div><h3>Shop</h3>{MENU}</div></footer>"
    assert read(f"<p>Text.</p>{footer}") == "Text.\n\n### Visit us\n\n12 High Street, Leeds"


def test_signs_beside_headings() -> None:
    assert read("<h2>Fees<a class=headerlink href='#fees'>¶</a></h2><p>Text") == "## Fees\n\nText"
    assert read("<h2><a href='#fees'>Fees</a></h2><p>Text") == "## Fees\n\nText"
    assert read("<h2>Fees<span class=mw-editsection>[<a href=/e>edit</a>]</span></h2><p>Text") == "## Fees\n\nText"


def test_the_words_for_screen_readers_stand_for_what_is_shown() -> None:
    assert read("<p>Costs <span aria-hidden=true>€20</span><span class=sr-only>20 euros</span>") == "Costs 20 euros"


def test_what_is_left_out_is_counted() -> None:
    assert convert(f"<p>{SENTENCE}</p>").notes == ()
    assert convert(f"<nav>{MENU}</nav><p>Text").notes == ("left out 3 words of navigation",)
    banner = "<div class=cookie-banner>We use cookies.<button>Accept</button></div>"
    body = f"<nav>{MENU}</nav>{banner}<p>Costs <del>20</del> 15 euros<p hidden>a b"
    assert convert(body).notes == ("left out 10 words of navigation, banners, hidden text and struck-out text",)
    assert convert(f"<nav>{MENU}</nav>").notes == ()
