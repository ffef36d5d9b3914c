"""The character encodings of HTML pages, by the rules of the standards."""

from __future__ import annotations

import codecs

import pytest

from retrieval import ConversionError
from retrieval.conversion.convert import convert_here


def read(data: bytes) -> str:
    return convert_here(data, ".html", "page.html").text.strip()


def page(label: str, text: bytes) -> bytes:
    return b'<html><head><meta charset="' + label.encode() + b'"></head><body><p>' + text + b"</body></html>"


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "“Gold” costs €20 – the customer’s choice…"),
        ("latin1", "cp1252", "€5"),
        (" US-ASCII ", "cp1252", "It’s 5 €"),
        ("iso-8859-9", "cp1254", "“Şirket” €"),
        ("windows-1251", "cp1251", "Приём с 9 до 17"),
        ("koi8-r", "koi8-r", "Приём"),
        ("gb2312", "gbk", "朱镕基"),
        ("gb2312", "gb18030", "㐀 and €"),
        ("gbk", "gb18030", "𠀀"),
        ("x-gbk", "gbk", "镕"),
        ("euc-kr", "cp949", "똠방각하"),
        ("ks_c_5601-1987", "cp949", "펲시"),
        ("shift_jis", "cp932", "①㈱髙島屋"),
        ("x-sjis", "cp932", "～－"),
        ("windows-31j", "cp932", "纊"),
        ("big5", "big5hkscs", "香港㗎啲"),
        ("big5-hkscs", "big5hkscs", "嘅"),
        ("euc-jp", "euc_jp", "東京"),
        ("iso-2022-jp", "iso2022_jp", "東京"),
        ("tis-620", "cp874", "ภาษาไทย"),
        ("macintosh", "mac_roman", "café"),
        ("iso-8859-8-i", "iso8859_8", "שלום"),
    ],
)
def test_a_label_means_what_it_means_on_the_web(label: str, codec: str, text: str) -> None:
    assert read(page(label, text.encode(codec))) == text


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("gbk", b"\x80 5", "€ 5"),
        ("euc-jp", b"\xad\xa1\xad\xea", "①㈱"),
        ("big5", b"\xa3\xe1 5", "€ 5"),
        ("windows-1252", b"5\x80\x81", "5€\x81"),
    ],
)
def test_characters_that_are_missing_in_pythons_codecs(label: str, data: bytes, text: str) -> None:
    assert read(page(label, data)) == text


@pytest.mark.parametrize("bom", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark_comes_before_the_declaration(bom: bytes) -> None:
    codec = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}[bom]
    html = '<meta charset="iso-8859-1"><title>Übergröße</title><p>Café\r\n20 €'
    converted = convert_here(bom + html.encode(codec), ".html", "page.html")
    assert (converted.text, converted.title) == ("Café 20 €\n", "Übergröße")


@pytest.mark.parametrize(
    "head",
    [
        '<!-- was <meta charset="iso-8859-1"> --><meta charset=utf-8>',
        "<!--><meta charset='utf-8'><!-- <meta charset=latin1> -->",
        '<script>document.write("<meta charset=latin1>")</script><meta charset="utf-8">',
        "<title><meta charset=latin1></title><meta charset=utf-8>",
        '<link title="<meta charset=latin1>"><meta charset=utf-8>',
        '<meta name=x content="text/html; charset=latin1"><meta charset=utf-8>',
        '<meta charset="no-such-encoding"><meta charset="utf-8">',
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-16">',
        "<meta charset=utf-16le>",
        "<!doctype html><?php charset=latin1 ?><meta/charset=UTF8>",
        "",
    ],
)
def test_declarations_that_do_not_count(head: str) -> None:
    assert read(f"<html><head>{head}</head><body><p>Café 20 €".encode()) == "Café 20 €"


@pytest.mark.parametrize(
    "head",
    [
        '<meta http-equiv="content-type" content="text/html; charset=windows-1251">',
        "<META CONTENT='text/html;charset = \"cp1251\"' HTTP-EQUIV=Content-Type>",
        "<meta\ncharset\n=\nwindows-1251\n>",
        '<meta name="a" data-x=">" charset="x-cp1251" charset="utf-8">',
        "<meta charset=windows-1251><meta charset=utf-8>",
        "<?xml version='1.0' encoding='windows-1251'?>",
        f"<style>/*{'x' * 2000}*/</style><meta charset=windows-1251>",
    ],
)
def test_declarations_that_count(head: str) -> None:
    assert read(head.encode() + b"<p>" + "Приём".encode("cp1251")) == "Приём"


def test_a_meta_element_comes_before_an_xml_declaration() -> None:
    head = b'<?xml version="1.0" encoding="iso-8859-1"?><html><head><meta charset="utf-8">'
    assert read(head + "<p>Café".encode()) == "Café"


def test_utf_16_without_a_byte_order_mark_is_known_by_its_xml_declaration() -> None:
    assert read("<?xml version='1.0' encoding='utf-16'?><p>Café".encode("utf-16-be")) == "Café"


def test_without_a_declaration_it_is_utf_8_if_that_is_possible() -> None:
    assert convert_here("<p>Café".encode(), ".html", "a.html").notes == ()
    converted = convert_here(b"<p>Caf\xe9 \x80 5", ".html", "a.html")
    assert converted.text == "Café € 5\n"
    assert converted.notes == ("no character encoding is declared and it is not UTF-8: read as windows-1252",)


def test_a_declaration_that_is_wrong() -> None:
    assert read(page("euc-kr", "Café 20 €".encode())) == "Café 20 €"
    converted = convert_here(page("utf-8", b"Caf\xe9"), ".html", "a.html")
    assert converted.text == "Caf\ufffd\n"
    (note,) = converted.notes
    assert note.startswith("1 character is not readable as utf-8")


def test_binary_data_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"page\.html contains binary data \(a zero byte at offset 4\)"):
        read(b"\x89PNG\x00\x00")
    with pytest.raises(ConversionError, match=r"contains binary data \(a zero byte at offset 2\)"):
        read(b"\xff\xfe\x00\x00\xfb\x90")


def test_a_label_that_is_cut_off_declares_nothing() -> None:
    padding = b"<!--" + b"x" * (1024 - 4 - 3 - len(b"<meta charset=iso-8859-1")) + b"-->"
    data = padding + b"<meta charset=iso-8859-15><p>\xa4"
    assert data[:1024].endswith(b"iso-8859-1")
    assert read(data) == "€"
