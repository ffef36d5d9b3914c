"""The settings of text recognition, with and without its packages, and the files that `status` names."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from retrieval import Document, Passage, PassageStore
from retrieval.conversion.ocr import recognition
from retrieval.conversion.ocr.recognition import Recognition
from retrieval.store.store import DATABASE_NAME
from softgraft.assembly.status import domain_status
from softgraft.settings.domain_file import DomainFile
from softgraft.settings.sections import IngestSettings


@pytest.fixture(params=[True, False], ids=["installed", "missing"])
def is_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    def version(name: str) -> str:
        if request.param:
            return "3.10.0"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(recognition, "version", version)
    return bool(request.param)


def test_the_default_reads_pictures_where_it_can(is_installed: bool) -> None:
    assert IngestSettings().recognition() == (Recognition(200) if is_installed else None)


def test_a_choice_does_not_depend_on_what_is_installed(is_installed: bool) -> None:
    assert IngestSettings(ocr=False).recognition() is None
    # The ingest then says what is missing.
    assert IngestSettings(ocr=True, ocr_pages=7).recognition() == Recognition(7)
    assert IngestSettings(images=True).recognition() == Recognition(200, images=True)


def test_images_need_text_recognition() -> None:
    with pytest.raises(ValidationError, match="images: true needs text recognition"):
        IngestSettings(ocr=False, images=True)


def test_status_names_the_files_with_recognised_pages(tmp_path: Path) -> None:
    build = tmp_path / "build"
    (build / "index").mkdir(parents=True)
    vector = np.ones((1, 4), dtype=np.float32) / 2
    with PassageStore.open(build / "index" / DATABASE_NAME, create=True) as store:
        store.bind_encoder("test", 4)
        for name, converter in (("scan", "pdf/5;ocr=ocr/1,rapidocr-3.10.0"), ("text", "pdf/5")):
            document = Document(name, name, "The rent is 845.", name, f"{name}.pdf", "0" * 64, converter)
            store.replace_document(document, "split", [Passage(name, name, name, "", document.text, 0, 16, 1)], vector)
    file = DomainFile(name="shop", title="The shop")
    status = domain_status(tmp_path, build, file, "shop", notices=list, start=lambda: None)
    assert status["index"] == {"documents": 2, "passages": 2, "ocr": ["scan.pdf"]}
