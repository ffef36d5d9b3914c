"""Makes the screenshots of docs/page.md: python -m tests.integration.page_screenshots [FOLDER].

They show the example domain `bank`, which quotes its documents, so that no model has to be loaded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))

from page_server import ARGUMENTS, CHROMIUM, opened, running_server
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.tiny_backbones import make_backbone

ROOT = Path(__file__).parents[2]
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
QUESTIONS = (
    "How many days do I have to dispute a card payment?",
    "And what evidence do you need for it?",
    "Who won the football match last night?",
)


def main() -> None:
    images = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server({"bank": make_bank(Path(folder))}) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        take(browser, server.address, images)
        browser.close()
    for image in sorted(images.glob("page-*.png")):
        print(image.name, f"{image.stat().st_size / 1000:.0f} kB")  # noqa: T201


def make_bank(folder: Path) -> Path:
    """The example domain with an encoder and a backbone that need no weights, and an evaluation of its quotes."""
    made = make_backbone("llama", seed=0, num_hidden_layers=1, max_position_embeddings=4096)
    made.model.save_pretrained(folder / "backbone")
    made.tokenizer.save_pretrained(folder / "backbone")
    bank = folder / "bank"
    shutil.copytree(ROOT / "domains" / "bank", bank, ignore=shutil.ignore_patterns("build"))
    settings = yaml.safe_load((bank / "domain.yaml").read_text(encoding="utf-8"))
    settings |= {"backbone": str(folder / "backbone"), "dtype": "float32"}
    settings["answer"] = {"form": "quote"}
    settings.pop("encoder", None)
    (bank / "domain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with closing(opened(bank)) as domain:
        domain.ingest()
        domain.evaluate(limit=60, systems=["quote"])
    return bank


def take(browser: Browser, address: str, images: Path) -> None:
    def shoot(tab: Page, name: str) -> None:
        tab.screenshot(path=images / f"page-{name}.png")

    with tab_of(browser, "desktop", "light", "en-GB") as tab:
        tab.goto(address)
        for question in QUESTIONS:
            tab.locator("#question").fill(question)
            tab.keyboard.press("Enter")
            tab.locator("[data-pending]").wait_for(state="detached")
        tab.evaluate("window.scrollTo(0, 0)")
        shoot(tab, "ask-desktop-light")
        tab.locator(".thumb").nth(0).click()
        tab.locator(".turn").nth(1).locator(".thumb").nth(1).click()
        tab.locator("form.correction textarea").fill("The receipt, messages to and from the seller, and photos.")
        tab.get_by_role("button", name="Send correction").click()
        tab.locator(".correction .answer").wait_for()
        tab.locator(".reference").first.click()
        tab.locator("mark").wait_for()
        shoot(tab, "source-desktop-light")
        thread = tab.evaluate("history.back(), new Promise(r => setTimeout(() => r(location.hash), 500))")
    with tab_of(browser, "desktop", "dark", "en-GB") as tab:
        tab.goto(f"{address}#/bank/quality")
        tab.locator("table").first.wait_for()
        shoot(tab, "quality-desktop-dark")
    with tab_of(browser, "phone", "dark", "en-GB") as tab:
        tab.goto(f"{address}{thread}")
        tab.locator(".turn").last.wait_for()
        tab.locator(".turn").last.scroll_into_view_if_needed()
        shoot(tab, "ask-phone-dark")
    with tab_of(browser, "phone", "light", "zh-CN") as tab:
        tab.goto(f"{address}#/bank/threads")
        tab.locator("details.actions summary").click()
        shoot(tab, "threads-phone-light")


@contextmanager
def tab_of(browser: Browser, size: str, scheme: Any, locale: str) -> Iterator[Page]:
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, locale=locale)  # type: ignore[arg-type]
    try:
        yield context.new_page()
    finally:
        context.close()


if __name__ == "__main__":
    main()
