"""Small PDF files: filled forms, and text at given places."""

from __future__ import annotations

from collections.abc import Iterable

from fpdf import FPDF

PROSE = (
    "The water supply of the town is run by the water office, which reads every meter once in a year and sends the "
    "bill in January. "
)


def page(size: float = 11) -> FPDF:
    """A PDF with an empty page, and a font."""
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=size)
    return pdf


def printed(lines: Iterable[tuple[float, float, str]], size: float = 11) -> bytes:
    """A page with texts at x and y in millimetres from the top left corner."""
    pdf = page(size)
    for x, y, text in lines:
        pdf.text(x, y, text)
    return bytes(pdf.output())


def pictures(texts: Iterable[str]) -> bytes:
    """A page for each text; an empty one is a picture."""
    pdf = FPDF()
    pdf.set_font("Helvetica", size=11)
    for text in texts:
        pdf.add_page()
        if text:
            pdf.multi_cell(0, 5, text)
        else:
            pdf.image(_picture(), x=0, y=0, w=pdf.w)
    return bytes(pdf.output())


def drawn(content: str) -> bytes:
    """A page with a content stream in points from the bottom left corner; /F is Helvetica, and /M is Courier."""
    return _file(
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
        "/Resources << /Font << /F 4 0 R /M 6 0 R >> >> >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
    )


def form(labels: Iterable[tuple[int, int, str]], fields: Iterable[str], annotations: Iterable[str] = ()) -> bytes:
    """A page with texts at x and y in points, form fields and annotations as PDF dictionaries."""
    content = "".join(f"BT /F 11 Tf {x} {y} Td ({text}) Tj ET " for x, y, text in labels)
    widgets = [f"<< /Type /Annot /Subtype /Widget /F 4 {field} >>" for field in fields]
    notes = [f"<< /Type /Annot {annotation} >>" for annotation in annotations]
    first = 6
    numbers = range(first, first + len(widgets) + len(notes))
    references = " ".join(f"{number} 0 R" for number in numbers)
    of_fields = " ".join(f"{number} 0 R" for number in numbers[: len(widgets)])
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{of_fields}] >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
        f"/Resources << /Font << /F 4 0 R >> >> /Annots [{references}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        *widgets,
        *notes,
    ]
    return _file(*objects)


def _file(*objects: str) -> bytes:
    data = b"%PDF-1.7\n"
    offsets: list[int] = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")


def _picture() -> bytes:
    """A PNG of one grey point."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\x00\x80")), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in parts)
