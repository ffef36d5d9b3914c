"""A template file is reloaded when it changes, and its text twins follow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from prompts import TemplateError, TemplateFile, TextTwins, find_template


@pytest.fixture
def template(tmp_path: Path) -> TemplateFile:
    path = tmp_path / "rag-chat.en.yaml"
    shutil.copyfile(find_template("rag-chat"), path)
    return TemplateFile(path)


def edit(template: TemplateFile, old: str, new: str) -> None:
    text = template.path.read_text(encoding="utf-8")
    assert old in text
    template.path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_edit_is_reloaded(template: TemplateFile) -> None:
    twins = TextTwins(template)
    before = template.current()
    assert template.current() is before
    assert list(twins) == ["domain"]
    edit(template, "Answer the customer's question", "Tell the customer")
    assert template.current().content_hash != before.content_hash
    assert twins["domain"].startswith("Tell the customer")
    assert len(twins) == 1
    assert "other" not in twins


def test_an_edit_of_the_same_length_is_reloaded(template: TemplateFile) -> None:
    assert "helpful" in str(template.current().messages)
    stat = template.path.stat()
    edit(template, "helpful", "careful")
    os.utime(template.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert "careful" in str(template.current().messages)


def test_a_broken_template_is_reported_until_it_is_fixed(template: TemplateFile) -> None:
    good = template.path.read_text(encoding="utf-8")
    template.current()
    template.path.write_text(good.replace("{question}", "{question} {customer}"), encoding="utf-8")
    for _ in range(2):
        with pytest.raises(TemplateError, match=r"unknown slot \{customer\}"):
            template.current()
    template.path.unlink()
    with pytest.raises(TemplateError):
        template.current()
    template.path.write_text(good, encoding="utf-8")
    assert template.current().name == "rag-chat"
