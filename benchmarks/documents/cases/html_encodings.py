"""HTML in the encodings that browsers support, with the declarations that confuse readers."""

from __future__ import annotations

from benchmarks.documents.case import Case


def _case(name: str, encoding: str, head: str, body: str, *, bom: bytes = b"", forbidden: tuple[str, ...] = ()) -> Case:
    page = f"<!DOCTYPE html><html><head>{head}</head><body><p>{body}</p></body></html>"
    return Case(f"html/{name}", ".html", lambda: bom + page.encode(encoding), body, forbidden)


CASES = (
    _case("utf-8 without a declaration", "utf-8", "", "Die Gebühr beträgt 12 € für größere Beträge."),
    _case("utf-8 with a byte order mark", "utf-8", "", "Crédit à l'étranger: 7 €.", bom=b"\xef\xbb\xbf"),
    _case("utf-16 with a byte order mark", "utf-16-le", "", "Überweisung nach Köln: 3 Tage.", bom=b"\xff\xfe"),
    _case("big-endian utf-16", "utf-16-be", "", "Zürich und Genève: 4 Filialen.", bom=b"\xfe\xff"),
    # The mark at the start is stronger than the declaration.
    _case(
        "byte order mark against a declaration",
        "utf-8",
        '<meta charset="windows-1251">',
        "Naïve façade, 5 €.",
        bom=b"\xef\xbb\xbf",
    ),
    _case("gb2312", "gb2312", '<meta charset="gb2312">', "取现手续费为百分之三，最低五元。"),
    # Browsers read the label gb2312 as GBK, which has more characters.
    _case("gb2312 with characters of gbk", "gbk", '<meta charset="gb2312">', "朱镕基先生的账户余额为八百元。"),
    _case("gb18030", "gb18030", '<meta charset="gb18030">', "客户㐂需要十五天。"),
    _case("big5", "big5", '<meta charset="big5">', "信用卡遺失請立即通知銀行。"),
    _case("euc-kr", "euc-kr", '<meta charset="euc-kr">', "카드를 잃어버리면 은행에 알려 주십시오."),
    # Browsers read the label euc-kr as code page 949.
    _case("euc-kr with characters of cp949", "cp949", '<meta charset="euc-kr">', "믜뷁 씨의 수수료는 30 원입니다."),
    _case("shift_jis", "shift_jis", '<meta charset="shift_jis">', "手数料は三百円です。"),
    _case("euc-jp", "euc-jp", '<meta charset="euc-jp">', "海外での利用は二パーセントです。"),
    # ISO 8859-1 has control characters where Windows has the euro sign and quotation marks.
    _case(
        "latin1 means windows-1252",
        "cp1252",
        '<meta charset="iso-8859-1">',
        "The “premium” card costs €40 – per year.",
        forbidden=("\x80", "\x93", "\x96"),
    ),
    _case("windows-1251", "cp1251", '<meta charset="windows-1251">', "Комиссия за перевод составляет 25 рублей."),
    _case("koi8-r", "koi8-r", '<meta charset="koi8-r">', "Карта действует три года."),
    _case("iso-8859-2", "iso8859_2", '<meta charset="iso-8859-2">', "Poplatek činí 90 korun za měsíc."),
    _case(
        "declaration in http-equiv",
        "cp1252",
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">',
        "Größe und Höhe: 18 £.",
    ),
    # A declaration inside a comment counts for nothing.
    _case(
        "declaration in a comment", "utf-8", '<!-- <meta charset="gb2312"> --><meta charset="utf-8">', "Façade: 6 €."
    ),
    # The declaration was read, so the page is no UTF-16, whatever it says.
    _case("declares utf-16 and is utf-8", "utf-8", '<meta charset="utf-16">', "Señor Núñez pays 9 €."),
    _case("a word charset in the text", "utf-8", "<title>x</title>", "Set charset=gb2312 for Übung 2."),
)
