"""The certificate and the private key of HTTPS, checked before the server starts."""

from __future__ import annotations

import os
import ssl
import stat
from contextlib import suppress
from pathlib import Path

from prompts.regular_file import read_regular
from softgraft.errors import UsageError
from softgraft.server.settings import ServerSettings

# Maximum size of either file; a chain of certificates is far smaller.
_MAX_BYTES = 1024 * 1024
# OpenSSL's names for a key that does not belong to the certificate.
_OTHER_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """The TLS settings of the server: version 1.2 or newer, with Python's choice of ciphers; None for plain HTTP.

    Raises:
        UsageError: if the certificate or the key cannot be used: missing, not PEM, encrypted, readable by others, not
            a pair, or out of date.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    certificate, key = settings.tls_cert, settings.tls_key
    _check_certificate_file(certificate)
    _check_key_file(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without the password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
        _shake_hands(context, certificate)
    except ssl.SSLCertVerificationError as error:
        raise UsageError(
            found=f"the certificate in {certificate}, which no client accepts: {error.verify_message}",
            expected="a certificate for servers that is valid today",
            next_step=f"renew it; its dates: openssl x509 -in {certificate} -noout -dates",
        ) from error
    except ssl.SSLError as error:
        raise _unusable(certificate, key, error) from error
    return context


def _check_certificate_file(path: Path) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _content("--tls-cert", path):
        raise UsageError(
            found=f"{path} without a certificate",
            expected="--tls-cert with a PEM file: the server's certificate, then those that signed it",
            next_step=f"look at it: openssl x509 -in {path} -noout -text",
        )


def _check_key_file(path: Path) -> None:
    content = _content("--tls-key", path)
    if b"PRIVATE KEY-----" not in content:
        raise UsageError(
            found=f"{path} without a private key",
            expected="--tls-key with a PEM file that has the certificate's private key",
            next_step=f"look at it: openssl pkey -in {path} -noout",
        )
    if b"ENCRYPTED" in content:
        raise UsageError(
            found=f"the private key in {path} is encrypted",
            expected="a key without a password, in a file that only its owner can read",
            next_step=f"decrypt it: (umask 077; openssl pkey -in {path} -out {path.stem}-plain.key)",
        )
    status = path.stat()
    # Packages and containers give a key of root's to a group of services.
    forbidden = 0o007 if status.st_uid == 0 else 0o077
    if os.name == "posix" and status.st_mode & forbidden:
        raise UsageError(
            found=f"the private key {path}, which others can read: its mode is {stat.S_IMODE(status.st_mode):04o}",
            expected="a file that only its owner can read; one of root's may be for its group as well",
            next_step=f"chmod 600 {path}",
        )


def _content(option: str, path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise UsageError(
            found=f"{option} {path} cannot be read: {error.strerror or error}",
            expected="a PEM file that this user can read",
            next_step="check its path and its permissions",
        ) from error


def _shake_hands(context: ssl.SSLContext, certificate: Path) -> None:
    """Connect to the server in memory, as a client that trusts its certificate and nothing else.

    Raises:
        ssl.SSLCertVerificationError: if the certificate is out of date, or not for servers.
        ssl.SSLError: if the two find no common ground.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    # Whoever signed it need not be known here.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    serving = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (asking, serving, asking, serving):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def _unusable(certificate: Path, key: Path, error: ssl.SSLError) -> UsageError:
    if error.reason in _OTHER_KEY:
        return UsageError(
            found=f"the private key in {key} does not belong to the certificate in {certificate}",
            expected="the key that the certificate was made for; the server's certificate is the first in its file",
            next_step="choose the pair, or put the server's certificate first",
        )
    return UsageError(
        found=f"the certificate in {certificate} and the key in {key} cannot be used: {error.reason or error}",
        expected="PEM files with an RSA key of at least 2048 bits, or a key on an elliptic curve",
        next_step=f"check them: openssl x509 -in {certificate} -noout, and openssl pkey -in {key} -check -noout",
    )
