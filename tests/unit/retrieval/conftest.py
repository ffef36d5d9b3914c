"""Fixtures of the retrieval tests: a deterministic encoder and a folder of small documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hashing_encoder import HashingEncoder


@pytest.fixture
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture
def other_encoder() -> HashingEncoder:
    return HashingEncoder(name="another")


@pytest.fixture
def index_dir(tmp_path: Path) -> Path:
    return tmp_path / "build" / "index"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "cards").mkdir(parents=True)
    (folder / "cards" / "fees.md").write_text(
        "# Card fees\n\nThe card is free of charge in the first year.\n\n"
        "## Abroad\n\nCash withdrawals abroad cost 2.99 percent, at least 3 euros.\n\n"
        "## Replacement\n\nA replacement card costs 12 euros.\n",
        encoding="utf-8",
    )
    (folder / "disputes.md").write_text(
        "# Disputes\n\nYou have 120 days to dispute a card payment.\n\n"
        "## Evidence\n\nKeep the receipt and every letter from the merchant.\n",
        encoding="utf-8",
    )
    (folder / "zh.txt").write_text("信用卡的年费为八十元。境外取现另收手续费。\n", encoding="utf-8")
    return folder
