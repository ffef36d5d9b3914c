"""HTTPS: a client that trusts the certificate gets its stream, and files that cannot serve are refused before."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from live_server import QUESTION, QUOTE, LiveServer, ask, running, two_domains
from openai import OpenAI

from softgraft.errors import UsageError
from softgraft.server.edge import Edge
from softgraft.server.metrics import Metrics
from softgraft.server.settings import ServerSettings
from softgraft.server.tls import tls_context

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl to make certificates"),
]


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def make_pair(folder: Path, name: str, kind: str = "ec", *, days: int = 2) -> tuple[Path, Path]:
    """A certificate that signed itself, for 127.0.0.1, and its key."""
    certificate, key, request = (folder / f"{name}.{suffix}" for suffix in ("pem", "key", "csr"))
    size = ("ec_paramgen_curve:P-256",) if kind == "ec" else ("rsa_keygen_bits:2048",)
    openssl("genpkey", "-algorithm", kind, "-pkeyopt", *size, "-out", key)
    key.chmod(0o600)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", request, "-signkey", key, "-days", str(days), "-extfile", names, "-out", certificate)
    return certificate, key


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_pair(tmp_path_factory.mktemp("tls"), "here")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> dict[str, Path]:
    return two_domains(tmp_path_factory.mktemp("domains"), backbone_folders[0])


@pytest.fixture
def secure(folders: dict[str, Path], pair: tuple[Path, Path]) -> Iterator[LiveServer]:
    with running(folders, tls_cert=pair[0], tls_key=pair[1]) as server:
        yield server


def test_a_client_gets_a_stream_over_https(secure: LiveServer, pair: tuple[Path, Path]) -> None:
    assert secure.address.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    body = {"model": "quotes", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    with (
        secure.http(verify=trusting) as http,
        http.stream("POST", "/v1/chat/completions", json=body, headers={"Origin": secure.address}) as response,
    ):
        assert response.status_code == 200
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert QUOTE in "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    # A link back to this server has its scheme.
    assert chunks[-1]["citations"][0]["url"].startswith(f"{secure.address}/#/quotes/document/")
    # The same address over plain HTTP is another origin, which somebody on the network may have forged.
    with secure.http(verify=trusting) as http:
        foreign = {"Origin": secure.address.replace("https", "http")}
        assert http.post("/v1/chat/completions", json=body, headers=foreign).status_code == 403
    # Only a client that trusts the certificate.
    with secure.http() as http, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        http.get("/healthz")
    with httpx.Client(trust_env=False) as http, pytest.raises(httpx.RemoteProtocolError):
        http.get(secure.address.replace("https", "http"))
    # One who speaks plain HTTP did not disturb the others.
    with secure.http(verify=trusting) as http:
        assert http.get("/healthz").status_code == 200


def test_openai_client_trusts_the_file_that_the_environment_names(
    secure: LiveServer, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with OpenAI(base_url=f"{secure.address}/v1", api_key="none", max_retries=0) as client:
        assert QUOTE in ask(client).choices[0].message.content


@pytest.mark.parametrize("older", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_ciphers_are_modern(secure: LiveServer, pair: tuple[Path, Path], older: ssl.TLSVersion) -> None:
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    trusting.maximum_version = older
    with secure.http(verify=trusting) as http, http.stream("GET", "/healthz") as response:
        cipher = response.extensions["network_stream"].get_extra_info("ssl_object").cipher()[0]
    assert "GCM" in cipher or "CHACHA" in cipher
    context = tls_context(ServerSettings(tls_cert=pair[0], tls_key=pair[1]))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("host", "scheme", "strict"),
    [("0.0.0.0", "https", True), ("0.0.0.0", "http", False), ("127.0.0.1", "https", False), ("::1", "http", False)],
)
async def test_strict_transport_is_for_tls_that_others_reach(host: str, scheme: str, strict: bool) -> None:
    async def app(scope: object, receive: object, send: Callable[..., object]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": [(b"host", b"localhost")]}
    await Edge(app, ServerSettings(host=host), Metrics())(scope, None, send)  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])  # type: ignore[call-overload]
    assert (b"strict-transport-security" in headers) is strict


def refusal(certificate: Path | None, key: Path | None) -> UsageError:
    with pytest.raises(UsageError) as raised:
        tls_context(ServerSettings(tls_cert=certificate, tls_key=key))
    return raised.value


def test_one_file_without_the_other_is_refused(pair: tuple[Path, Path]) -> None:
    assert refusal(pair[0], None).found == "--tls-cert without --tls-key"
    assert refusal(None, pair[1]).found == "--tls-key without --tls-cert"
    assert tls_context(ServerSettings()) is None


def test_a_file_that_is_missing_or_no_file_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing", tmp_path, pipe, Path("/dev/zero")):
        assert f"--tls-cert {path} cannot be read" in refusal(path, pair[1]).found
        assert f"--tls-key {path} cannot be read" in refusal(pair[0], path).found


def test_a_file_that_cannot_be_read_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, limit: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    # Root may read everything.
    monkeypatch.setattr("softgraft.server.tls.read_regular", refused)
    assert "Permission denied" in refusal(*pair).found


def test_a_key_that_others_can_read_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key = Path(shutil.copy(pair[1], tmp_path / "here.key"))
    for mode in (0o644, 0o604, 0o602):
        key.chmod(mode)
        problem = refusal(pair[0], key)
        assert f"its mode is {mode:04o}" in problem.found
        assert problem.next_step == f"chmod 600 {key}"
    key.chmod(0o400)
    assert tls_context(ServerSettings(tls_cert=pair[0], tls_key=key)) is not None


@pytest.mark.parametrize(("owner", "refused"), [(0, False), (1000, True)])
def test_a_group_may_read_a_key_of_roots_alone(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, refused: bool
) -> None:
    key = Path(shutil.copy(pair[1], tmp_path / "here.key"))
    key.chmod(0o640)
    status = key.stat()
    owned = os.stat_result((*status[:4], owner, *status[5:10]))
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **options: owned if path == key else stat(path, **options))
    if refused:
        assert "0640" in refusal(pair[0], key).found
    else:
        assert tls_context(ServerSettings(tls_cert=pair[0], tls_key=key)) is not None


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_key_of_another_certificate_is_refused(pair: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    _, other = make_pair(tmp_path, "other", kind)
    problem = refusal(pair[0], other)
    assert problem.found == f"the private key in {other} does not belong to the certificate in {pair[0]}"


def test_a_certificate_that_is_out_of_date_is_refused(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "old", days=-1)
    problem = refusal(certificate, key)
    assert "certificate has expired" in problem.found
    assert problem.next_step.endswith(f"openssl x509 -in {certificate} -noout -dates")


def test_what_is_not_a_certificate_or_a_key_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = pair
    assert refusal(key, key).found == f"{key} without a certificate"
    assert refusal(certificate, certificate).found == f"{certificate} without a private key"
    damaged = tmp_path / "damaged.key"
    damaged.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    damaged.chmod(0o600)
    assert "cannot be used" in refusal(certificate, damaged).found


def test_an_encrypted_key_asks_for_no_password(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for options in ((), ("-traditional",)):
        locked = tmp_path / "locked.key"
        openssl("pkey", "-in", pair[1], "-aes256", "-passout", "pass:secret", *options, "-out", locked)
        locked.chmod(0o600)
        assert "is encrypted" in refusal(pair[0], locked).found
