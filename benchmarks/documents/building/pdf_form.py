"""The fields of PDF forms, with the appearance that a viewer shows."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.documents.building.pdf_file import PdfFile, literal


def text_field(pdf: PdfFile, name: str, value: str, place: tuple[int, int], *, drawn: bool = True) -> int:
    """A field with a text. Without `drawn` only the value is in the file, and the viewer draws it."""
    return _field(pdf, f"/FT /Tx /T {literal(name)} /V {literal(value)}", value, place, drawn=drawn)


def choice_field(pdf: PdfFile, name: str, options: Sequence[str], value: str, place: tuple[int, int]) -> int:
    """A list to choose from; only the chosen value is shown."""
    listed = " ".join(literal(option) for option in options)
    entries = f"/FT /Ch /Ff 131072 /T {literal(name)} /Opt [{listed}] /V {literal(value)}"
    return _field(pdf, entries, value, place)


def checkbox(pdf: PdfFile, name: str, place: tuple[int, int], *, checked: bool) -> int:
    """A box, drawn as a cross if it is checked."""
    cross = _appearance(pdf, "0 0 m 10 10 l 0 10 m 10 0 l S", 10, 10)
    empty = _appearance(pdf, "", 10, 10)
    state = "Yes" if checked else "Off"
    x, y = place
    return pdf.add(
        f"<< /Type /Annot /Subtype /Widget /FT /Btn /T {literal(name)} /V /{state} /AS /{state} /F 4 "
        f"/Rect [{x} {y} {x + 10} {y + 10}] /AP << /N << /Yes {cross} 0 R /Off {empty} 0 R >> >> >>"
    )


def _field(pdf: PdfFile, entries: str, value: str, place: tuple[int, int], *, drawn: bool = True) -> int:
    x, y = place
    look = ""
    if drawn:
        text = f"/Tx BMC q BT /F1 11 Tf 2 4 Td {literal(value)} Tj ET Q EMC"
        look = f"/AP << /N {_appearance(pdf, text, 200, 16)} 0 R >>"
    return pdf.add(
        f"<< /Type /Annot /Subtype /Widget {entries} /DA (/Helv 11 Tf 0 g) /F 4 "
        f"/Rect [{x} {y} {x + 200} {y + 16}] {look} >>"
    )


def _appearance(pdf: PdfFile, content: str, width: int, height: int) -> int:
    fonts = f"/Resources << /Font << /F1 {pdf.fonts['F1']} 0 R >> >>"
    return pdf.stream(content, f"/Type /XObject /Subtype /Form /BBox [0 0 {width} {height}] {fonts}")
