"""EML: an e-mail message with its subject as the heading, its sender and date, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from retrieval.conversion import format_html
from retrieval.conversion.converted import Converted, MarkdownWriter, decode_utf8, one_line
from retrieval.errors import ConversionError

VERSION = f"eml/1 {format_html.VERSION}"

_SHOWN = ("From", "To", "Date")
# A forwarded message may contain another one.
_MAX_DEPTH = 5


def convert(data: bytes, name: str) -> Converted:
    """The plain text if there is one, else the HTML. Attachments are named only, except forwarded messages.

    Raises ConversionError if the file has no header of a message, or is damaged.
    """
    try:
        return _read(data, name)
    # Python's parser of headers raises any of these for a damaged one.
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ConversionError(
            found=f"{name} cannot be read as an e-mail message ({type(error).__name__}: {error})",
            expected="an undamaged e-mail message",
            next_step=f"open {name} in a mail program and save it again as EML",
        ) from error


def _read(data: bytes, name: str) -> Converted:
    message = message_from_bytes(data, _class=EmailMessage, policy=policy.default)
    if not any(_field(message, field) for field in ("Subject", *_SHOWN)):
        raise ConversionError(
            found=f"{name} has no header of an e-mail message",
            expected="lines such as `From:` and `Subject:` before the text",
            next_step=f"save the message again as EML, or correct the suffix of {name}",
        )
    writer = MarkdownWriter()
    _write(writer, message, name, 1)
    return Converted(writer.text(), one_line(_field(message, "Subject")) or None)


def _write(writer: MarkdownWriter, message: EmailMessage, name: str, depth: int) -> None:
    writer.heading(depth, _field(message, "Subject"))
    fields = ((field, _field(message, field)) for field in _SHOWN)
    writer.paragraph("\n".join(f"{field}: {text}" for field, text in fields if text))
    body = message.get_body(("plain", "html"))
    if body is not None:
        text = _decoded(body)
        if body.get_content_type() == "text/html":
            text = format_html.convert(text.encode(), name).text
        writer.paragraph(text.strip())
    names = [found for part in _parts(message) if (found := part.get_filename())]
    if names:
        writer.paragraph(f"Attachments: {', '.join(names)}")
    for part in _parts(message):
        inner = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(inner, list) and depth < _MAX_DEPTH:
            for forwarded in inner:
                if isinstance(forwarded, EmailMessage):
                    _write(writer, forwarded, name, depth + 1)


def _field(message: EmailMessage, name: str) -> str:
    """A field of the header; as it is written if Python cannot parse it."""
    try:
        return str(message.get(name, ""))
    except (AttributeError, LookupError, TypeError, ValueError):
        written = next(str(value) for field, value in message.raw_items() if field.lower() == name.lower())
        # Bytes beyond ASCII are surrogates there.
        return one_line(written.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts beside the text."""
    if message.is_multipart() and message.get_content_type() != "multipart/alternative":
        for part in message.iter_attachments():
            if isinstance(part, EmailMessage):
                yield part


def _decoded(part: MIMEPart) -> str:
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    # An unknown or wrong encoding.
    except (LookupError, UnicodeError):
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        try:
            return decode_utf8(data, "")
        except ConversionError:
            return data.decode("cp1252", "replace")
