"""The `--full` option, and the tiny random backbones that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.tiny_backbones import (
    LEARNED_POSITION_FAMILIES,
    REPRESENTATIVE_FAMILIES,
    ROTARY_FAMILIES,
    make_backbone,
)

if TYPE_CHECKING:
    from soft_prompt import Backbone

# Tiny models and single tokens run faster on one thread, and results are bit-identical only for a fixed number of
# threads. PyTorch reads this when it is first imported; processes that a test starts inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# In the reason of tests that are skipped because there is no browser.
BROWSER = "for the tests of the page"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run every case of the long tests: all backbone families, every resumption step, 300 kills, "
        "2,000 damaged files (default: a representative sample with fixed seeds)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the campaigns tried (one line of each test that records a `campaign`), and whether a browser lacked."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    lines = [str(value) for report in reports for name, value in report.user_properties if name == "campaign"]
    if lines:
        terminalreporter.section("campaigns")
    for line in sorted(lines):
        terminalreporter.write_line(line)
    skipped = [report.longrepr for report in terminalreporter.stats.get("skipped", [])]
    reasons = {str(where[2]).removeprefix("Skipped: ") for where in skipped if isinstance(where, tuple)}
    for reason in sorted(reason for reason in reasons if BROWSER in reason):
        terminalreporter.section("the page was not tested in a browser")
        terminalreporter.write_line(reason)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "family_backbone" in metafunc.fixturenames:
        families = ROTARY_FAMILIES if metafunc.config.getoption("full") else REPRESENTATIVE_FAMILIES
        metafunc.parametrize("family_backbone", sorted(families), indirect=True, scope="session")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether long tests run every case (`--full`)."""
    return bool(request.config.getoption("full"))


@pytest.fixture(scope="session")
def make_tiny_backbone() -> Callable[..., Backbone]:
    """Builds random backbones: `make_tiny_backbone("mistral", seed=1, sliding_window=4)`."""
    return make_backbone


@pytest.fixture(scope="session")
def tiny_backbone() -> Backbone:
    """A random Llama that all tests share; no test may change it."""
    return make_backbone()


@pytest.fixture(scope="session")
def family_backbone(request: pytest.FixtureRequest) -> Backbone:
    """A random backbone of each family with rotary positions: three representative ones, or all nine with `--full`."""
    return make_backbone(request.param)


@pytest.fixture(scope="session", params=sorted(LEARNED_POSITION_FAMILIES))
def learned_backbone(request: pytest.FixtureRequest) -> Backbone:
    """A random backbone of each family with learned position embeddings."""
    return make_backbone(request.param)


@pytest.fixture(scope="session")
def encoder_backbone() -> Backbone:
    """A random T5."""
    return make_backbone("t5")
