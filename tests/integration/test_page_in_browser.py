"""The page in real Chromium: what a person does with it, and what it must never do with a document's text."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from api_server import Reply, Server

from softgraft.feedback import entries

MISSING = "for the tests of the page: pip install playwright axe-playwright-python 'softgraft[serve]'"
playwright_api = pytest.importorskip("playwright.sync_api", reason=MISSING)
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason=MISSING)
pytest.importorskip("fastapi", reason=MISSING)

from page_server import (  # noqa: E402
    ARABIC,
    ARGUMENTS,
    BOX,
    BOX_QUESTION,
    CHROMIUM,
    DISPUTE_QUESTION,
    SCRIPT,
    PageServer,
    opened,
    running_server,
)

from softgraft.server.keys import new_key  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.enable_socket,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium for the tests of the page: apt-get install chromium"),
]

expect = playwright_api.expect
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def tab(browser: Browser, page: PageServer) -> Iterator[OpenPage]:
    """Opens an address of the page in a browser without a history; fails if a script of the page failed."""
    expect.set_options(timeout=15_000)
    problems: list[str] = []
    with ExitStack() as stack:

        def open_tab(address: str = "#/bank/ask", **options: Any) -> Page:
            options = {"viewport": DESKTOP, "locale": "en-GB", **options}
            context = stack.enter_context(closing(browser.new_context(**options)))
            opened_page = context.new_page()
            opened_page.on("pageerror", lambda error: problems.append(str(error)))
            opened_page.goto(page.address + address)
            expect(opened_page.locator("main h1")).to_be_visible()
            return opened_page

        yield open_tab
    assert problems == []


def ask(tab: Page, question: str) -> Locator:
    """Ask, and wait for the answer; returns its turn."""
    tab.get_by_label("Your question").fill(question)
    tab.keyboard.press("Enter")
    expect(tab.locator("[data-pending]")).to_have_count(0)
    return tab.locator("article.turn").last


def thread_of(tab: Page) -> str:
    return tab.url.rsplit("/", 1)[1]


def test_a_conversation_from_the_first_question_to_its_deletion(tab: OpenPage, page: PageServer) -> None:
    bank = tab()
    turn = ask(bank, BOX_QUESTION)
    expect(turn.locator(".answer")).to_contain_text(BOX)

    # A citation opens the document with the quoted words marked.
    turn.get_by_role("link", name="Source 1: Rates").click()
    expect(bank.locator("mark")).to_have_text(BOX)
    expect(bank.locator("mark")).to_be_in_viewport()
    expect(bank.locator("mark")).to_be_focused()
    bank.get_by_role("button", name="Back").click()
    expect(bank.locator("article.turn")).to_have_count(1)
    expect(bank.get_by_role("link", name="Source 1: Rates")).to_be_focused()

    follow_up = ask(bank, "Does it have to be cancelled in writing?")
    expect(follow_up.locator(".searched")).to_contain_text(BOX_QUESTION)
    thread = thread_of(bank)

    # A rating, and what the answer should have been.
    follow_up.get_by_role("button", name="Not helpful").click()
    follow_up.get_by_label("What should the answer have been?").fill("Yes, by <b>letter</b>.")
    follow_up.get_by_role("button", name="Send correction").click()
    expect(follow_up.locator(".correction .answer")).to_have_text("Yes, by <b>letter</b>.")
    bank.reload()
    expect(bank.locator("article.turn")).to_have_count(2)
    again = bank.locator("article.turn").last
    expect(again.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    expect(again.locator(".correction .answer")).to_have_text("Yes, by <b>letter</b>.")
    with closing(opened(page.folders["bank"])) as domain:
        [entry] = [one for one in entries(domain) if one.thread == thread]
    assert (entry.turn, entry.rating, entry.correction) == (2, "down", "Yes, by <b>letter</b>.")

    bank.get_by_role("link", name="Conversations").click()
    row = bank.locator(f'li:has(a[href$="{thread}"])')
    row.get_by_text("Actions").click()
    row.get_by_role("button", name="Rename").click()
    bank.get_by_label("Title").fill("Prices")
    bank.keyboard.press("Enter")
    expect(row.get_by_role("link")).to_have_text("Prices")
    row.get_by_text("Actions").click()
    with bank.expect_download() as download:
        row.get_by_role("button", name="Export as Markdown").click()
    exported = Path(download.value.path()).read_text(encoding="utf-8")
    assert exported.startswith("# `Hexley Bank`: conversation `Prices`\n")
    assert BOX in exported

    row.get_by_role("button", name="Delete").click()
    dialog = bank.get_by_role("dialog")
    expect(dialog).to_contain_text("Prices")
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    with closing(opened(page.folders["bank"])) as domain:
        assert thread not in [one.thread for one in domain.conversations.threads()]
        assert thread not in [one.thread for one in entries(domain)]


def test_an_answer_streams_in_and_is_marked_as_unsupported(tab: OpenPage, page_api: Server) -> None:
    gate = threading.Event()
    page_api.responses[:] = [Reply("Nothing is known about it. The moon pays 99 percent.", gate=gate)]
    writer = tab("#/writer/ask")
    writer.get_by_label("Your question").fill(BOX_QUESTION)
    writer.get_by_role("button", name="Ask").click()
    turn = writer.locator("article.turn")
    # The first piece is there while the model still writes.
    expect(turn.locator(".answer")).to_have_text("Nothing")
    expect(turn).to_have_attribute("aria-busy", "true")
    # The stream goes on while another page is shown.
    writer.get_by_role("link", name="Sources").click()
    expect(writer.get_by_role("heading", name="Sources")).to_be_visible()
    writer.go_back()
    expect(turn.locator(".answer")).to_have_text("Nothing")
    gate.set()
    expect(turn.locator(".answer")).to_contain_text("The moon pays 99 percent.")
    expect(turn.locator(".mark-line")).to_contain_text("Not supported")
    expect(turn.locator(".mark-line svg")).to_be_visible()
    announcer = writer.locator("#announcer")
    expect(announcer).to_contain_text("Nothing is known about it.")
    expect(announcer).to_contain_text("The answer is complete")


def test_a_supported_sentence_shows_the_words_it_rests_on(tab: OpenPage, page_api: Server) -> None:
    page_api.responses[:] = [Reply("A safe deposit box costs 48 euros.")]
    turn = ask(tab("#/writer/ask"), BOX_QUESTION)
    expect(turn.locator(".quote")).to_have_text(BOX)
    expect(turn.locator(".mark-line")).to_have_count(0)


def test_a_refusal_is_marked(tab: OpenPage) -> None:
    turn = ask(tab(), "Who is the tallest person in Hexley?")
    expect(turn.locator(".mark-line")).to_contain_text("Refused")
    expect(turn.locator(".mark-line svg")).to_be_visible()
    expect(turn.locator(".reference")).to_have_count(0)


def test_stopping_ends_the_model_and_keeps_the_question(tab: OpenPage, page: PageServer, page_api: Server) -> None:
    page_api.disconnected.clear()
    page_api.responses[:] = [Reply("word " * 4000, pause=0.02)]
    writer = tab("#/writer/ask")
    writer.get_by_label("Your question").fill(BOX_QUESTION)
    writer.keyboard.press("Enter")
    expect(writer.locator("article.turn .answer")).to_contain_text("word")
    writer.get_by_role("button", name="Stop").click()
    assert page_api.disconnected.wait(10)
    expect(writer.locator(".state")).to_contain_text("not saved")
    expect(writer.get_by_label("Your question")).to_have_value(BOX_QUESTION)
    page.wait_until_idle()
    writer.reload()
    expect(writer.locator("article.turn")).to_have_count(0)
    expect(writer.get_by_label("Your question")).to_have_value(BOX_QUESTION)


def test_a_broken_connection_loses_no_words_and_can_be_tried_again(tab: OpenPage, page: PageServer) -> None:
    bank = tab()
    bank.route("**/api/ask", lambda route: route.abort("connectionrefused"))
    question = bank.get_by_label("Your question")
    question.fill(BOX_QUESTION)
    bank.keyboard.press("Enter")
    expect(bank.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(question).to_have_value(BOX_QUESTION)
    bank.unroute("**/api/ask")

    # The answer is stored, but its last event does not arrive: trying again must not ask twice.
    def cut(route: Any) -> None:
        whole = route.fetch().text()
        route.fulfill(status=200, content_type="text/event-stream", body=whole.partition("event: answer")[0])

    bank.route("**/api/ask", cut)
    bank.get_by_role("button", name="Try again").click()
    expect(bank.get_by_role("alert")).to_be_visible()
    expect(bank.locator("article.turn .answer")).to_contain_text(BOX)
    bank.unroute("**/api/ask")
    bank.get_by_role("button", name="Try again").click()
    expect(bank.locator("[data-pending]")).to_have_count(0)
    expect(bank.locator("article.turn .reference")).to_have_count(1)
    with closing(opened(page.folders["bank"])) as domain:
        assert domain.conversations.turn_count(thread_of(bank)) == 1


def test_the_text_of_documents_and_models_stays_text(tab: OpenPage, page_api: Server) -> None:
    bank = tab()
    dialogs: list[str] = []
    bank.on("dialog", lambda dialog: dialogs.append(dialog.message))
    turn = ask(bank, "What is the vault code?")
    expect(turn.locator(".answer")).to_contain_text(SCRIPT)
    turn.locator(".reference").first.click()
    expect(bank.locator("mark")).to_contain_text(SCRIPT)
    expect(bank.locator(".document")).to_contain_text("<img src=x onerror=alert(1)>")
    assert bank.locator("main img, main script").count() == 0
    page_api.responses[:] = [Reply(f"{SCRIPT}<img src=x onerror=alert(2)>")]
    turn = ask(tab("#/writer/ask"), BOX_QUESTION)
    expect(turn.locator(".answer")).to_contain_text("onerror=alert(2)")
    assert turn.locator("img, script").count() == 0
    assert dialogs == []
    assert "broken" not in bank.title()


def test_positions_count_code_points(tab: OpenPage) -> None:
    """Emoji before the quoted words: JavaScript counts two for each of them, the server one."""
    bank = tab()
    turn = ask(bank, "What does a rune stone weigh?")
    turn.locator(".reference").click()
    expect(bank.locator("mark")).to_have_text("A rune stone weighs 7 pounds.")


def test_long_answers_many_conversations_and_right_to_left(tab: OpenPage, page: PageServer, page_api: Server) -> None:
    page_api.responses[:] = [Reply(" ".join(["so"] * 5000))]
    phone = tab("#/writer/ask", viewport=PHONE)
    turn = ask(phone, BOX_QUESTION)
    assert len(turn.locator(".answer").inner_text().split()) == 5000
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    with closing(opened(page.folders["bank"])) as domain:
        for number in range(40):
            config: Any = {"configurable": {"thread_id": f"many/{number}?&#"}}
            domain.chain.invoke({"question": f"{DISPUTE_QUESTION} ({number})"}, config)
    phone.goto(f"{page.address}#/bank/threads")
    expect(phone.locator("ul.threads > li").nth(39)).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    phone.get_by_label("Filter conversations").fill("(17)")
    expect(phone.locator("ul.threads > li")).to_have_count(1)
    phone.locator("ul.threads > li a").click()
    expect(phone.locator("article.turn .answer")).to_contain_text("120 days")
    turn = ask(phone, "كم تكلفة البطاقة البديلة؟")
    expect(turn.locator(".answer")).to_contain_text(ARABIC)
    assert turn.locator(".answer").evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_chinese_by_the_browser_and_by_the_switch(tab: OpenPage) -> None:
    bank = tab(locale="zh-CN")
    expect(bank.get_by_label("您的问题")).to_be_visible()
    assert bank.evaluate("document.documentElement.lang") == "zh-Hans"
    bank.get_by_label("您的问题").fill("这句话不会丢失")
    bank.get_by_role("button", name="Switch to English").click()
    expect(bank.get_by_label("Your question")).to_have_value("这句话不会丢失")
    bank.reload()
    expect(bank.get_by_label("Your question")).to_have_value("这句话不会丢失")


def test_the_keyboard_reaches_everything_in_order(tab: OpenPage) -> None:
    bank = tab("#/bank/quality")
    seen = []
    for _ in range(7):
        bank.keyboard.press("Tab")
        seen.append(
            bank.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
        )
    assert seen == ["Skip to the content", "Domain", "Ask", "Conversations", "Sources", "Quality", "切换到中文"]
    bank.locator(".skip").focus()
    bank.keyboard.press("Enter")
    assert bank.evaluate("document.activeElement.id") == "main"


def test_a_server_with_keys_asks_for_one(browser: Browser, page_folders: dict[str, Path], tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys", "anna", ["bank"])
    with (
        running_server(page_folders, keys=tmp_path / "keys") as server,
        closing(browser.new_context(locale="en-GB")) as context,
    ):
        keyed = context.new_page()
        keyed.goto(server.address)
        for given, said in (("sg-wrong", "needs a key"), (key, "does not accept")):
            expect(keyed.get_by_role("dialog")).to_contain_text(said)
            keyed.get_by_label("Your key").fill(given)
            keyed.keyboard.press("Enter")
        turn = ask(keyed, BOX_QUESTION)
        expect(turn.locator(".answer")).to_contain_text(BOX)
        assert key not in keyed.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_findings_of_axe(tab: OpenPage, page: PageServer, scheme: str) -> None:
    bank = tab(viewport=DESKTOP if scheme == "light" else PHONE, color_scheme=scheme)
    turn = ask(bank, BOX_QUESTION)
    turn.get_by_role("button", name="Not helpful").click()
    expect(turn.locator("textarea")).to_be_visible()
    findings = serious(bank)
    for address in ("threads", "documents", "quality", "document/rates?start=12&end=40"):
        bank.goto(f"{page.address}#/bank/{address}")
        expect(bank.locator("main h1")).to_be_visible()
        findings |= serious(bank)
    assert findings == {}


def serious(tab: Page) -> dict[str, str]:
    """Serious and critical findings, with the first element of each."""
    found = axe_api.Axe().run(tab).response
    assert len(found["passes"]) > 15
    return {
        f"{tab.url} {one['id']}": one["nodes"][0]["html"]
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    }


def test_the_policy_forbids_inline_code_and_the_page_needs_none(tab: OpenPage, page: PageServer) -> None:
    bank = tab()
    policy = bank.request.get(page.address).headers["content-security-policy"]
    assert not re.search("unsafe|\\*", policy)
    report = bank.evaluate(
        "() => new Promise(done => {"
        " document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));"
        " const code = document.createElement('script'); code.textContent = 'document.title = \"broken\"';"
        " document.body.append(code); setTimeout(() => done('nothing'), 2000); })"
    )
    assert report.startswith("script-src")
    assert json.dumps(bank.title()) != '"broken"'
