"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(metavar="DOMAIN", help="A name under domains/, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and no progress.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only so many questions, spread over the file.")]
