"""A trained domain to test with."""

from __future__ import annotations

from softgraft import Domain


def stored(domain: Domain) -> dict[str, bytes]:
    folder = domain.build / "soft_prompt"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def edit_template(domain: Domain, old: str, new: str) -> None:
    path = domain.folder / "templates" / "rag-chat.en.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
