"""PDF from its objects: pages with text at given places, as typesetting programs write it."""

from __future__ import annotations

import io
from collections.abc import Sequence

# Fonts of every reader: F1 regular, F2 bold, F3 monospaced.
_FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}
_WIDTH, _HEIGHT = 612, 792


class PdfFile:
    """Collects objects and pages. Object 1 is the catalogue, and object 2 the list of pages."""

    def __init__(self) -> None:
        self._objects: list[bytes] = [b"", b""]
        self._pages: list[int] = []
        self._fields: list[int] = []
        self.fonts = {
            name: self.add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{base} /Encoding /WinAnsiEncoding >>")
            for name, base in _FONTS.items()
        }

    def add(self, content: str | bytes) -> int:
        """Add an object; returns its number."""
        self._objects.append(content.encode("latin-1") if isinstance(content, str) else content)
        return len(self._objects)

    def stream(self, content: str | bytes, entries: str = "") -> int:
        data = content.encode("latin-1") if isinstance(content, str) else content
        return self.add(f"<< {entries} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")

    def page(self, *content: str, rotate: int = 0, annotations: Sequence[int] = ()) -> None:
        """Add a page. The marks of a form field are its annotations."""
        fonts = " ".join(f"/{name} {number} 0 R" for name, number in self.fonts.items())
        notes = f"/Annots [{' '.join(f'{number} 0 R' for number in annotations)}]" if annotations else ""
        number = self.stream("\n".join(content))
        self._pages.append(
            self.add(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] /Rotate {rotate} {notes} "
                f"/Resources << /Font << {fonts} >> >> /Contents {number} 0 R >>"
            )
        )
        self._fields += annotations

    def embed(self, name: str, characters: str) -> None:
        """Add a font of two-byte glyph numbers with the characters of a text, each as a box."""
        ordered = sorted(set(characters))
        data = _boxes(ordered)
        file = self.stream(data, f"/Length1 {len(data)}")
        descriptor = self.add(
            f"<< /Type /FontDescriptor /FontName /AAAAAA+Boxes /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 "
            f"/Ascent 900 /Descent -200 /CapHeight 700 /StemV 80 /FontFile2 {file} 0 R >>"
        )
        below = self.add(
            "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /AAAAAA+Boxes /CIDSystemInfo << /Registry (Adobe) "
            f"/Ordering (Identity) /Supplement 0 >> /FontDescriptor {descriptor} 0 R /DW {_ADVANCE} "
            "/CIDToGIDMap /Identity >>"
        )
        pairs = "\n".join(
            f"<{glyph:04x}> <{character.encode('utf-16-be').hex()}>" for glyph, character in enumerate(ordered, start=1)
        )
        unicode_map = self.stream(
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Shown def /CMapType 2 def\n"
            f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{len(ordered)} beginbfchar\n{pairs}\nendbfchar\n"
            "endcmap CMapName currentdict /CMap defineresource pop end end"
        )
        self.fonts[name] = self.add(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /AAAAAA+Boxes /Encoding /Identity-H "
            f"/DescendantFonts [{below} 0 R] /ToUnicode {unicode_map} 0 R >>"
        )

    def bytes(self, *, appearances: bool = True) -> bytes:
        """The file. Without `appearances` a viewer has to draw the values of form fields itself."""
        pages = " ".join(f"{number} 0 R" for number in self._pages)
        form = ""
        if self._fields:
            fields = " ".join(f"{number} 0 R" for number in self._fields)
            fonts = f"/DR << /Font << /Helv {self.fonts['F1']} 0 R >> >> /DA (/Helv 11 Tf 0 g)"
            form = f"/AcroForm << /Fields [{fields}] {fonts} {'' if appearances else '/NeedAppearances true'} >>"
        self._objects[0] = f"<< /Type /Catalog /Pages 2 0 R {form} >>".encode()
        self._objects[1] = f"<< /Type /Pages /Kids [{pages}] /Count {len(self._pages)} >>".encode()
        data, starts = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
        for number, content in enumerate(self._objects, start=1):
            starts.append(len(data))
            data += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
        entries = "".join(f"{start:010} 00000 n \n" for start in starts)
        total = len(starts) + 1
        tail = f"trailer << /Size {total} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
        return data + f"xref\n0 {total}\n0000000000 65535 f \n{entries}{tail}".encode()


# The width of an embedded glyph, in thousandths of the type size.
_ADVANCE = 1000


def _boxes(characters: Sequence[str]) -> bytes:
    """A TrueType font in which every character is a box."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for place, point in enumerate([(80, 0), (80, 800), (920, 800), (920, 0)]):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    box = pen.glyph()
    names = [".notdef", *(f"uni{ord(character):04X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.updateHead(created=0, modified=0)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): name for character, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, box))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (_ADVANCE, 80)))
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.font.recalcTimestamp = False
    data = io.BytesIO()
    builder.save(data)
    return data.getvalue()


def literal(text: str) -> str:
    """A string of the fonts F1 to F3."""
    return f"<{text.encode('cp1252').hex()}>"


def line(x: float, y: float, text: str, size: float = 11, font: str = "F1") -> str:
    """A line of text; `y` counts from the bottom."""
    return f"BT /{font} {size} Tf {x} {y} Td {literal(text)} Tj ET\n"


def lines(x: float, y: float, *texts: str, size: float = 11, pitch: float = 14, font: str = "F1") -> str:
    """Lines below each other."""
    return "".join(line(x, y - pitch * number, text, size, font) for number, text in enumerate(texts))


def glyphs(x: float, y: float, text: str, characters: str, size: float = 11, font: str = "F9") -> str:
    """A line in an embedded font with `characters`, in the order in which it is drawn."""
    ordered = sorted(set(characters))
    codes = "".join(f"{ordered.index(character) + 1:04x}" for character in text)
    return f"BT /{font} {size} Tf {x} {y} Td <{codes}> Tj ET"


def cells(x: float, y: float, widths: Sequence[float], rows: Sequence[Sequence[str]], *, ruled: bool) -> str:
    """A table with rows of 20 points, with or without lines between its cells."""
    drawn: list[str] = []
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            if text:
                drawn.append(line(x + sum(widths[:column]) + 4, y - 20 * number, text))
    if ruled:
        right, top, bottom = x + sum(widths), y + 14, y + 14 - 20 * len(rows)
        drawn += [f"{x} {top - 20 * number} m {right} {top - 20 * number} l S" for number in range(len(rows) + 1)]
        edges = [x + sum(widths[:column]) for column in range(len(widths) + 1)]
        drawn += [f"{edge} {top} m {edge} {bottom} l S" for edge in edges]
    return "\n".join(drawn) + "\n"
