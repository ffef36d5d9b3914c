"""E-mail messages (EML), subtitles (SRT, VTT) and source code."""

from __future__ import annotations

from base64 import b64encode
from quopri import encodestring
from typing import Any

from benchmarks.documents.case import Case

_HEAD = "From: Ann Berg <ann@example.org>\r\nTo: help@example.org\r\nDate: Fri, 17 May 2024 09:30:00 +0200\r\n"
_SEEN = "From Ann Berg ann example org To help Date Fri 17 May 2024 09:30:00 0200 07 05 +0200 Subject"


def _mail(name: str, subject: str, rest: str | bytes, text: str, *, optional: str = "", **expected: Any) -> Case:
    def build() -> bytes:
        body = rest if isinstance(rest, bytes) else rest.replace("\n", "\r\n").encode()
        return f"{_HEAD}Subject: {subject}\r\nMIME-Version: 1.0\r\n".encode() + body

    return Case(f"eml/{name}", ".eml", build, text, optional=f"{_SEEN} {optional}", **expected)


def _text(name: str, suffix: str, content: str, text: str, **expected: Any) -> Case:
    return Case(name, suffix, content.encode, text, **expected)


def _multipart(kind: str, *parts: str) -> str:
    body = "".join(f"--XX\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="XX"\n\n{body}--XX--\n'


_PLAIN = "Content-Type: text/plain; charset=utf-8\n\n"
_HTML = "Content-Type: text/html; charset=utf-8\n\n"
_QUOTED = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
_CODED = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"

_EML = (
    _mail("plain", "Card fees", _PLAIN + "A new card costs 12 euros.\n", "Card fees\nA new card costs 12 euros."),
    _mail(
        "quoted-printable",
        "Fees",
        _QUOTED
        + encodestring("Die Gebühr für große Beträge ist 25 £, sagt die Bank in ihrem neuen Brief.".encode("latin-1")),
        "Fees\nDie Gebühr für große Beträge ist 25 £, sagt die Bank in ihrem neuen Brief.",
    ),
    _mail(
        "base64",
        "Fees",
        _CODED + b64encode("境外取现收取三元。Kosten: 3 €.".encode()).decode() + "\n",
        "Fees\n境外取现收取三元。Kosten: 3 €.",
    ),
    _mail(
        "encoded subject",
        "=?utf-8?b?R2Viw7xocmVu?= =?iso-8859-1?q?_f=FCr_Karten?=",
        _PLAIN + "Siehe unten: 12 Euro.\n",
        "Gebühren für Karten\nSiehe unten: 12 Euro.",
    ),
    _mail(
        "text and HTML",
        "Rates",
        _multipart(
            "alternative", _PLAIN + "Rates fell to 3 percent.", _HTML + "<p>Rates fell to <b>3</b> percent.</p>"
        ),
        "Rates\nRates fell to 3 percent.",
    ),
    _mail(
        "HTML alone",
        "Offer",
        _HTML + "<html><style>p{width:77px}</style><h1>Offer</h1><p>Loans at 4 percent<br>until May.</p></html>",
        "Offer\nOffer\nLoans at 4 percent\nuntil May.",
        forbidden=("77px",),
    ),
    _mail(
        "picture attached",
        "Photo",
        _multipart(
            "mixed",
            _PLAIN + "See the picture of 14 May.",
            'Content-Type: image/png; name="card.png"\nContent-Disposition: attachment; filename="card.png"\n'
            "Content-Transfer-Encoding: base64\n\niVBORw0KGgoAAAANSUhEUg==",
        ),
        "Photo\nSee the picture of 14 May.",
        optional="card png image attachments Attachments",
        forbidden=("iVBORw0KGgoAAAANSUhEUg",),
    ),
    _mail(
        "forwarded message",
        "Fwd: limits",
        _multipart(
            "mixed",
            _PLAIN + "As discussed.",
            "Content-Type: message/rfc822\n\nFrom: Bob <bob@example.org>\nSubject: limits\n"
            + _PLAIN
            + "The limit is 650 euros.",
        ),
        "Fwd: limits\nAs discussed.\nThe limit is 650 euros.",
        optional="From Bob bob example org Subject limits",
    ),
)

_SUBTITLES = (
    _text(
        "subtitles/srt",
        ".srt",
        "1\r\n00:00:01,000 --> 00:00:03,500\r\nWelcome to the bank.\r\n\r\n2\r\n00:00:04,000 --> 00:00:06,000\r\n"
        "Our rate is 3 percent\r\nper year.\r\n",
        "Welcome to the bank. Our rate is 3 percent per year.",
        forbidden=("00:00:01,000", "00:00:04"),
    ),
    _text(
        "subtitles/srt with marks",
        ".srt",
        "\ufeff1\n00:00:01,000 --> 00:00:03,500 X1:10 X2:20\n<i>Listen</i> {\\an8}closely.\n\n2\n00:01:04,000 --> "
        "00:01:06,000\n"
        '<font color="red">12 euros</font>\n',
        "Listen closely. 12 euros",
        forbidden=("00:00:01,000", "X1", "an8", "red"),
    ),
    _text(
        "subtitles/vtt",
        ".vtt",
        "WEBVTT\n\nNOTE made by hand in 1999\n\nSTYLE\n::cue { color: red }\n\nintro\n00:01.000 --> 00:03.000 "
        "align:start\n"
        "<v Ann>Hello and <b>welcome</b>.\n\n00:04.000 --> 00:06.000\nIt costs <00:05.000>14 &amp; no more.\n",
        "Hello and welcome. It costs 14 & no more.",
        optional="Ann",
        forbidden=("00:01.000", "1999", "cue", "align", "intro", "00:05.000", "WEBVTT"),
    ),
    _text(
        "subtitles/vtt with regions",
        ".vtt",
        "WEBVTT - Talk\nKind: captions\n\nREGION\nid:a\nwidth:40%\n\n1\n00:00:01.000 --> 00:00:03.000\n- First "
        "voice\n- Second voice\n",
        "First voice Second voice",
        forbidden=("40", "captions", "00:00:01.000"),
    ),
)

_PYTHON = (
    "#!/usr/bin/env python3\n# The fee in percent\nFEE = 2.99\n\n\ndef cost(amount: float) -> float:\n"
    "    return max(3, amount * FEE / 100)\n"
)
_SHELL = '# Build first\nmake -j 4\n## Then test\necho "done in $SECONDS s"  # a note\n'
_SQL = "-- Cards older than 4 years\nSELECT id, name FROM cards WHERE age > 4 ORDER BY name;\n"
_YAML = "# limits\nlimits:\n  day: 500\n  month: 9000\nnames: [Ann, Bob]\n"
_JSON = '{"limits": {"day": 500, "month": 9000}, "names": ["Ann", "Bob"]}\n'
_GO = "package main\n\n// Fee is in percent.\nconst Fee = 299\n\nfunc main() {\n\tprintln(Fee * 2)\n}\n"

_CODE = tuple(
    _text(f"code/{name}", suffix, content, content, headings=())
    for name, suffix, content in (
        ("python", ".py", _PYTHON),
        ("shell", ".sh", _SHELL),
        ("sql", ".sql", _SQL),
        ("yaml", ".yaml", _YAML),
        ("json", ".json", _JSON),
        ("go", ".go", _GO),
    )
)

CASES = _EML + _SUBTITLES + _CODE
