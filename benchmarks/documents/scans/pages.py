"""Pages like scans, with known text: drawn, made into pixels by PDFium, turned, blurred and with noise."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.documents.building.pdf_file import PdfFile, cells, line, lines

_CHINESE_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
_A4 = 8.27, 11.69


@dataclass(frozen=True)
class Scan:
    """A page, and the words on it in the order in which they are read.

    Attributes:
        kind: what the page shows.
        dpi: pixels per inch.
        angle: how far it is turned, in degrees, counterclockwise.
        noise: standard deviation of the noise, in grey levels of 255.
        jpeg: quality of the compression; 0 for none.
        faded: whether the ink is grey on grey.
    """

    kind: str
    dpi: int
    angle: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    faded: bool = False

    @property
    def name(self) -> str:
        parts = [self.kind, f"{self.dpi} dpi"]
        parts += [f"{self.angle:+g}°"] if self.angle else []
        parts += [f"noise {self.noise:g}"] if self.noise else []
        parts += [f"JPEG {self.jpeg}"] if self.jpeg else []
        parts += ["faded"] if self.faded else []
        return ", ".join(parts)

    @property
    def text(self) -> str:
        return _CHINESE if self.kind == "Chinese" else _PAGES[self.kind][0]

    @property
    def language(self) -> str:
        return "Chinese" if self.kind == "Chinese" else "English"

    def image(self) -> Any:
        """The page as a grey PIL image; the same on every run. Raises FileNotFoundError without the Chinese font."""
        from PIL import Image

        image = _chinese_image(self.dpi) if self.kind == "Chinese" else _rendered(_PAGES[self.kind][1](), self.dpi)
        if self.angle:
            image = image.rotate(self.angle, Image.Resampling.BICUBIC, fillcolor=255)
        if self.faded:
            image = image.point(lambda level: 110 + level * 105 // 255)
        if self.noise:
            image = _with_noise(image, self.noise)
        if self.jpeg:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=self.jpeg)
            image = Image.open(io.BytesIO(buffer.getvalue()))
            image.load()
        return image


def scans() -> list[Scan]:
    """All pages. The Chinese ones only where their font is installed."""
    found = [Scan(kind, dpi) for kind in ("prose", "table", "columns", "small print") for dpi in (150, 200, 300)]
    found += [
        Scan("letter", 150),
        Scan("letter", 200, noise=12, jpeg=40),
        Scan("prose", 200, angle=1.2, noise=12, jpeg=50),
        Scan("table", 200, angle=-1.0, noise=12, jpeg=50),
        Scan("columns", 200, angle=0.7, noise=8, jpeg=60),
        Scan("listing", 200),
        Scan("prose", 150, noise=8, jpeg=50, faded=True),
        Scan("ledger", 200, noise=8, jpeg=60),
    ]
    if _CHINESE_FONT.is_file():
        found += [Scan("Chinese", 150), Scan("Chinese", 200, angle=0.8, noise=10, jpeg=50)]
    return found


def _rendered(data: bytes, dpi: int) -> Any:
    import pypdfium2

    with pypdfium2.PdfDocument(data) as document:
        return document[0].render(scale=dpi / 72, grayscale=True).to_pil().convert("L")


def _with_noise(image: Any, deviation: float) -> Any:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(7).normal(0.0, deviation, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _chinese_image(dpi: int) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (round(_A4[0] * dpi), round(_A4[1] * dpi)), 255)
    drawing = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(_CHINESE_FONT), round(11 * dpi / 72))
    for number, text in enumerate(_CHINESE.splitlines()):
        drawing.text((dpi, dpi + number * round(18 * dpi / 72)), text, font=font, fill=0)
    return image


def _typeset(draw: Callable[[PdfFile], str]) -> bytes:
    """A page with the further font F4, a serif."""
    file = PdfFile()
    file.fonts["F4"] = file.add("<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>")
    file.page(draw(file))
    return file.bytes()


def _wrapped(paragraphs: Sequence[str], x: float, y: float, width: int, size: float, font: str) -> str:
    drawn = []
    for paragraph in paragraphs:
        printed = textwrap.wrap(paragraph, width, break_on_hyphens=False)
        drawn.append(lines(x, y, *printed, size=size, pitch=1.25 * size, font=font))
        y -= 1.25 * size * len(printed) + 0.7 * size
    return "".join(drawn)


_PROSE = (
    "The reservoir above the village was built between 1931 and 1936 and holds 4.7 million cubic metres of water. "
    "Its wall is 38.5 m high and 212 m long at the crest. Until 1958 it supplied three mills; since then it has fed "
    "the town's waterworks, which clean up to 9,400 cubic metres a day.",
    "Every spring the operator lowers the level by 2.3 m, so that melting snow finds room. In 1987 this was done too "
    "late: on 14 April the overflow carried 61 cubic metres per second, and the lower bridge was closed for 19 days. "
    "The rule was changed afterwards. The level must now be at 418.6 m above the sea by 1 March, and at 421.9 m by "
    "15 June at the latest.",
    "Visitors may walk along the wall from 8:30 to 18:00. Dogs must be kept on a lead, bathing is forbidden within "
    "150 m of the outlet, and boats with an engine need a permit, which costs 24.50 a year. The path around the lake "
    "is 7.8 km long; most people need about two hours and a quarter.",
    "The turbine in the eastern tower was replaced in 2009. It delivers 1,350 kW at full flow, enough for some 2,600 "
    "households. Reports on the dam's safety are published every five years; the latest, number 17, found no damage, "
    "but asks for new sensors at 6 of the 44 measuring points.",
)
_TABLE = (
    ("Product", "Article", "Price", "Stock", "Weight"),
    ("Copper pipe 15 mm", "40-1187", "6.35", "1,240", "0.39 kg"),
    ("Copper pipe 22 mm", "40-1188", "9.80", "865", "0.58 kg"),
    ("Ball valve", "41-0032", "14.95", "310", "0.27 kg"),
    ("Check valve", "41-0057", "17.20", "96", "0.31 kg"),
    ("Pressure gauge", "43-2210", "23.75", "58", "0.18 kg"),
    ("Expansion vessel", "45-0904", "68.00", "17", "4.60 kg"),
    ("Circulation pump", "47-3316", "189.50", "23", "2.85 kg"),
    ("Flow meter", "48-7701", "112.40", "8", "1.05 kg"),
    ("Sealing ring", "49-0006", "0.45", "7,300", "0.01 kg"),
    ("Heat exchanger", "52-1093", "276.90", "5", "6.75 kg"),
    ("Thermostat", "53-8842", "34.10", "141", "0.22 kg"),
)
_TABLE_WIDTHS = 140, 80, 70, 70, 80
_LEDGER = (
    ("Date", "Entry", "Debit", "Credit", "Balance"),
    ("02.01.2024", "Opening balance", "", "", "18,204.66"),
    ("05.01.2024", "Rent, January", "1,275.00", "", "16,929.66"),
    ("09.01.2024", "Invoice 20240017", "", "3,918.45", "20,848.11"),
    ("11.01.2024", "Electricity", "386.19", "", "20,461.92"),
    ("16.01.2024", "Wages", "7,640.50", "", "12,821.42"),
    ("22.01.2024", "Invoice 20240021", "", "5,107.83", "17,929.25"),
    ("25.01.2024", "Insurance", "648.37", "", "17,280.88"),
    ("31.01.2024", "Bank charges", "14.90", "", "17,265.98"),
)
_LEDGER_WIDTHS = 85, 135, 75, 75, 85
_LEFT = (
    "Membership begins with the first payment and runs for 12 months. A member may borrow up to 25 items at once, "
    "and keep each for 28 days.",
    "Items can be renewed twice, unless another reader has reserved them. Reserved items are kept at the desk for 7 "
    "days and then go back to the shelf.",
    "A lost card costs 4.00. Please report the loss at once, since you are liable for what is borrowed with it until "
    "then.",
)
_RIGHT = (
    "For every day that an item is late the library charges 0.20, but at most 8.00 per item. After 42 days the item "
    "counts as lost.",
    "Children under 14 pay nothing. Pupils, students and people over 65 pay 9.50 a year, all others 18.00.",
    "The reading room has 36 seats and 11 computers. It is open from Tuesday to Saturday, 10:00 to 19:30, and closed "
    "in the first week of August.",
)
_SMALL_PRINT = (
    "1. Scope. These conditions apply to contracts concluded after 30 September 2023 for amounts of up to 75,000. "
    "2. Interest. The nominal rate is 5.94% a year, the effective rate 6.27%; both are fixed for 48 months. "
    "3. Instalments. The borrower pays 48 instalments of 234.71 each, due on the 5th of every month.",
    "4. Early repayment. The loan may be repaid at any time. The lender may then charge 1.0% of the amount, or 0.5% "
    "if fewer than 12 months remain. 5. Default. If two instalments in a row are unpaid, and they are more than 10% of "
    "the nominal amount, the lender may terminate the contract after a notice of 14 days.",
    "6. Insurance. Residual debt insurance is voluntary and costs 0.38% of the outstanding amount per month. "
    "7. Notices. Changes of address must be reported within 21 days to box 60 04 18, telephone 0800 552 7731. "
    "8. Disputes. The arbitration board at 3 Harbour Street decides within 90 days; its decision binds the lender up "
    "to 10,000.",
)
_LETTER = (
    "Northgate Dental Practice",
    "17B Mill Lane, Ashford TN24 8QX",
    "Telephone 01233 640 918",
    "",
    "Invoice 2024-00583          12 November 2024",
    "Patient number 77 31 204",
    "",
    "Dear Mrs Okafor,",
    "for your treatment on 29 October we charge the following:",
    "Examination 46.00",
    "Two X-ray pictures 31.60",
    "Filling, tooth 36, two surfaces 118.25",
    "Total 195.85",
    "Please pay within 30 days to account GB29 NWBK 6016 1331 9268 19.",
    "After 60 days we charge 2.5% for every month that has begun.",
    "",
    "Yours sincerely,",
    "Dr P. Lindqvist",
)
_LISTING = (
    "def instalment(amount, rate, months):",
    "    monthly = rate / 12",
    "    if monthly == 0:",
    "        return amount / months",
    "    growth = (1 + monthly) ** months",
    "    return amount * monthly * growth / (growth - 1)",
    "",
    "print(instalment(10000, 0.0594, 48))",
    "# prints 234.68",
)
_CHINESE = """\
借阅规则
读者凭借书证可以借书,每次最多借二十五本,借期为28天。
到期前可以续借两次,每次延长14天。逾期不还的,每天罚款0.20元,
每本书最多罚款8元。超过42天没有归还的图书按遗失处理。
遗失图书的读者应当赔偿原价的1.5倍,并支付手续费12元。
阅览室有36个座位和11台电脑,星期二至星期六10:00开放,19:30关门。
十四岁以下的儿童免费,学生和六十五岁以上的老人每年交费9.50元,
其他读者每年交费18元。电话:0571-8793 2046。
"""


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(" | ".join(filter(None, row)) for row in rows)


def _prose(_: PdfFile) -> str:
    return line(72, 730, "The reservoir", 16, "F2") + _wrapped(_PROSE, 72, 700, 88, 11, "F4")


def _two_columns(_: PdfFile) -> str:
    return (
        line(60, 740, "Rules of the library", 15, "F2")
        + _wrapped(_LEFT, 60, 710, 46, 10, "F4")
        + _wrapped(_RIGHT, 320, 710, 46, 10, "F4")
    )


def _tabular(title: str, widths: Sequence[float], rows: Sequence[Sequence[str]], ruled: bool, _: PdfFile) -> str:
    return line(72, 740, title, 14, "F2") + cells(72, 700, widths, rows, ruled=ruled)


# Kind of page: the words on it in the order of reading, and its file.
_PAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "prose": ("\n".join(("The reservoir", *_PROSE)), partial(_typeset, _prose)),
    "table": (
        "Price list 2024\n" + _rows(_TABLE),
        partial(_typeset, partial(_tabular, "Price list 2024", _TABLE_WIDTHS, _TABLE, False)),
    ),
    "ledger": (
        "Account 3310\n" + _rows(_LEDGER),
        partial(_typeset, partial(_tabular, "Account 3310", _LEDGER_WIDTHS, _LEDGER, True)),
    ),
    "columns": ("\n".join(("Rules of the library", *_LEFT, *_RIGHT)), partial(_typeset, _two_columns)),
    "small print": (
        "\n".join(_SMALL_PRINT),
        partial(_typeset, lambda _: _wrapped(_SMALL_PRINT, 60, 740, 150, 6.5, "F1")),
    ),
    "letter": ("\n".join(_LETTER), partial(_typeset, lambda _: lines(72, 740, *_LETTER, pitch=16))),
    "listing": (
        "\n".join(_LISTING),
        partial(_typeset, lambda _: lines(72, 740, *_LISTING, font="F3", size=10, pitch=13)),
    ),
}
