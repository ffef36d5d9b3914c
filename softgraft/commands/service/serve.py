"""`softgraft serve`: an OpenAI-compatible server and a page for domains."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softgraft.commands.console import err, out, print_notes
from softgraft.errors import UsageError

if TYPE_CHECKING:
    from softgraft.server.settings import ServerSettings

# Packages of the extra, by the name of their module.
_PACKAGES = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}


def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOMAIN]...", help="Names under domains/, or paths. Default: all under domains/."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. All but loopback addresses require keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    running: Annotated[int, typer.Option(min=1, help="Maximum number of requests answered at the same time.")] = 16,
    queue: Annotated[int, typer.Option(min=0, help="Maximum number of requests that wait to be answered.")] = 64,
    streams: Annotated[int, typer.Option(min=1, help="Maximum number of open streams.")] = 64,
    body_kib: Annotated[int, typer.Option(min=1, help="Maximum size of a request body in KiB.")] = 1024,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Maximum value of a request's max_tokens.")] = 1024,
    first_token_seconds: Annotated[
        float, typer.Option(min=0.1, help="Maximum time until an answer begins, in seconds.")
    ] = 60.0,
    drain_seconds: Annotated[
        float, typer.Option(min=1, help="Time for running answers when the server is stopped, in seconds.")
    ] = 30.0,
    keys: Annotated[
        Path | None, typer.Option(envvar="SOFTGRAFT_KEYS", help="File of hashed keys; callers then need a key.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve HTTPS with this certificate (chain), a PEM file.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, a PEM file that only you can read.")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Origin of a web page that may call the server.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name that a request's Host header may have, besides loopback names."),
    ] = None,
    public_url: Annotated[
        str, typer.Option(metavar="URL", help="Public address that links to documents begin with, behind a proxy.")
    ] = "",
    log_questions: Annotated[
        bool, typer.Option("--log-questions", help="Log the questions, which are left out by default.")
    ] = False,
    preload: Annotated[bool, typer.Option(help="Load the models at the start, not with the first question.")] = True,
    new_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a key, print it once, store its hash, and exit.")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option(metavar="DOMAIN,DOMAIN", help="With --new-key: the domains that it allows; default: all."),
    ] = None,
) -> None:
    """Serve domains to OpenAI clients and as a web page. Ctrl-C lets running answers end.

    Example: `softgraft serve bank clinic`

    To other machines: `softgraft serve --host 0.0.0.0 --keys FILE --tls-cert FILE --tls-key FILE`
    """
    _require_extra()
    if domains is not None and new_key is None:
        raise UsageError(
            found="--domains without --new-key",
            expected="the domains to serve as arguments",
            next_step=f"softgraft serve {domains.replace(',', ' ')}",
        )
    if new_key is not None:
        _make_key(new_key, keys, names or [], domains)
        return
    from softgraft.server.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        running=running,
        queue=queue,
        streams=streams,
        body_bytes=body_kib * 1024,
        answer_tokens=answer_tokens,
        first_token_seconds=first_token_seconds,
        drain_seconds=drain_seconds,
        keys=keys,
        tls_cert=tls_cert,
        tls_key=tls_key,
        origins=tuple(cors or ()),
        hosts=tuple(allow_host or ()),
        public_url=public_url,
        log_questions=log_questions,
        preload=preload,
    )
    _run(names or [], settings)


def _run(names: list[str], settings: ServerSettings) -> None:
    from softgraft.server.settings import require_keys
    from softgraft.server.tls import tls_context

    require_keys(settings)
    tls_context(settings)
    # Imports PyTorch, which takes seconds; a wrong option must not wait for it.
    from softgraft.server.loading.garbage import exempt_loaded
    from softgraft.server.running import run_server
    from softgraft.server.served import ServedDomains, served_folders

    folders = served_folders(names)

    def show(address: str) -> None:
        out.print(f"serving {', '.join(folders)} at {address}")
        out.print(f"OpenAI clients: base_url={address}/v1")
        out.file.flush()

    if settings.log_questions:
        print_notes(["the log contains the questions (--log-questions)"])
    if settings.exposes_keys:
        print_notes(
            [
                f"keys and answers cross the network of {settings.host} as plain text: encrypt them with --tls-cert "
                "and --tls-key, or name the HTTPS address of a proxy with --public-url"
            ]
        )
    run_server(ServedDomains(folders, on_loaded=exempt_loaded), settings, show)
    err.print("stopped")


def _make_key(name: str, file: Path | None, arguments: list[str], listed: str | None) -> None:
    from softgraft.server.keys import new_key

    domains = [domain.strip() for domain in (listed or "").split(",") if domain.strip()]
    # The key would allow all domains.
    if arguments or (listed is not None and not domains):
        raise UsageError(
            found=f"--new-key with the arguments {', '.join(arguments)}" if arguments else "--domains without a domain",
            expected="--domains with the names of the domains that the key allows, or no --domains for all",
            next_step=f"softgraft serve --new-key {name} --domains {','.join(arguments) or 'bank,clinic'}",
        )
    if file is None:
        raise UsageError(
            found="--new-key without a file of keys",
            expected="SOFTGRAFT_KEYS or --keys with its path; the file is created",
            next_step=f"softgraft serve --new-key {name} --keys softgraft-keys.jsonl",
        )
    key = new_key(file, name, domains)
    out.print(key)
    print_notes([f"this key is shown once; {file} has its hash, for {', '.join(domains) or 'all domains'}"])


def _require_extra() -> None:
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            found=f"a server without {', '.join(missing)}",
            expected="the packages of the extra `serve`",
            next_step="pip install 'softgraft[serve]'",
        )
