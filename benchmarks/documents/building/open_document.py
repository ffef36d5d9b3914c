"""ODT and EPUB from their XML."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.documents.building.archive import pack

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_SPACES = " ".join(
    f'xmlns:{short}="{_ODF}:{name}:1.0"'
    for short, name in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing"),
        ("fo", "xsl-fo-compatible"), ("svg", "svg-compatible"),
    )
) + ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'  # fmt: skip
_ODT = "application/vnd.oasis.opendocument.text"


def odt(body: str, styles: str = "", lists: str = "") -> bytes:
    """A text document; `styles` are its automatic styles, `lists` its list styles."""
    manifest = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
        for path, kind in (("/", _ODT), ("content.xml", "text/xml"), ("styles.xml", "text/xml"))
    )
    return pack(
        {
            "mimetype": _ODT,
            "META-INF/manifest.xml": f'{_XML}<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0" '
            f'manifest:version="1.3">{manifest}</manifest:manifest>',
            "content.xml": f'{_XML}<office:document-content {_SPACES} office:version="1.3"><office:automatic-styles>'
            f"{styles}{lists}</office:automatic-styles><office:body><office:text>{body}</office:text></office:body>"
            "</office:document-content>",
            "styles.xml": f'{_XML}<office:document-styles {_SPACES} office:version="1.3"><office:styles/>'
            "</office:document-styles>",
        },
        stored_first=True,
    )


def epub(pages: Mapping[str, str], spine: str, *, folder: str = "OEBPS/", title: str = "A book") -> bytes:
    """A book of XHTML bodies by file name. `spine` names the pages in order, with `-` before one off the main line."""
    names = {name: f"item{number}" for number, name in enumerate(pages)}
    items = "".join(
        f'<item id="{id_}" href="{name.replace(" ", "%20")}" media-type="application/xhtml+xml"{_nav(name)}/>'
        for name, id_ in names.items()
    )
    order = "".join(f'<itemref idref="{names[name.removeprefix("-")]}"{_off(name)}/>' for name in spine.split(", "))
    package = (
        f'{_XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier '
        f'id="id">x</dc:identifier><dc:title>{title}</dc:title>'
        f"<dc:language>en</dc:language></metadata><manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    container = (
        f'{_XML}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        f'full-path="{folder}book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    written = {
        f"{folder}{name}": f'{_XML}<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title>{title}</title></head><body>{body}</body></html>"
        for name, body in pages.items()
    }
    head = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, f"{folder}book.opf": package}
    return pack(head | written, stored_first=True)


def _nav(name: str) -> str:
    return ' properties="nav"' if name == "nav.xhtml" else ""


def _off(name: str) -> str:
    return ' linear="no"' if name.startswith("-") else ""
