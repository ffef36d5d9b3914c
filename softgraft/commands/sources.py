"""`softgraft source`, `sources` and `transfer`: soft prompts that other domains start from."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soft_prompt.json_text import dump_json
from soft_prompt.training.distributed import is_main_process
from softgraft.commands.console import (
    JsonOption,
    LimitOption,
    err,
    on_score,
    on_train,
    open_domain,
    out,
    print_json,
    print_notes,
    progress_bars,
    simple_table,
)

if TYPE_CHECKING:
    from softgraft.domain import Domain
    from softgraft.jobs.source import SourceReport
    from softgraft.jobs.transfer import TransferReport

_Domains = Annotated[str, typer.Argument(metavar="DOMAIN,DOMAIN", help="Names under domains/, or paths.")]


def source_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source; it is written to grafts/NAME.")],
    domains: Annotated[str, typer.Option("--from", help="Domains to train on, separated by commas.")],
    unseen: Annotated[str, typer.Option(help="Domains to measure on alone, separated by commas.")] = "",
    json: JsonOption = False,
    limit: LimitOption = None,
    dev_limit: Annotated[int | None, typer.Option(min=1, help="The same for dev questions.")] = None,
    temperature: Annotated[
        float,
        typer.Option(
            min=1, help="1 samples domains in proportion to their size; higher values make their shares more equal."
        ),
    ] = 2.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the order of examples.")] = None,
    method: Annotated[
        Literal["plain", "shared", "reptile"] | None,
        typer.Option(help="How it is trained; see docs/methods.md.", show_default="domain.yaml or plain"),
    ] = None,
    reptile_groups: Annotated[
        Literal["domains", "documents"] | None,
        typer.Option(
            help="Groups of questions that `reptile` trains on in turn.", show_default="domain.yaml or domains"
        ),
    ] = None,
) -> None:
    """Train one soft prompt on several domains, for others to start from. An interrupted run continues.

    The evidence for a question comes from the documents of its own domain, and batches mix the domains. Settings are
    those under `train:` in domain.yaml of the first domain.

    Example: `softgraft source services --from bank,clinic --unseen college`
    """
    from softgraft.jobs.source import make_source

    opened = _opened(domains)
    given = {"seed": seed, "method": method, "reptile_groups": reptile_groups}
    settings = opened[0].file.train.with_options(given) if opened else None
    try:
        with progress_bars(not json and is_main_process()) as progress:
            report = make_source(
                name,
                opened,
                limit=limit,
                dev_limit=dev_limit,
                temperature=temperature,
                settings=settings,
                unseen=_opened(unseen),
                made_by=" ".join(sys.argv[1:]) and f"softgraft {' '.join(sys.argv[1:])}",
                on_step=on_train(progress),
                on_score=on_score(progress),
            )
    except KeyboardInterrupt:
        err.print("\nTo continue where it stopped, repeat the command")
        raise
    if not is_main_process():
        return
    if json:
        print_json(asdict(report) | {"card": report.card.model_dump() if report.card else None})
        return
    _print_source(report)


def _print_source(report: SourceReport) -> None:
    training, card = report.training, report.card
    out.print(
        f"trained on {training.examples} questions in {training.seconds:.0f} s ({training.steps} steps); "
        f"{training.metric} on {training.dev_questions} dev questions: {training.dev_score:.3f}, "
        f"text twin {training.dev_score_text_twin:.3f}"
    )
    for domain in report.unknown_licences:
        print_notes([f"the licence of {domain} is unknown; write it to `licence:` in its domain.yaml"])
    if card is None:
        out.print("not kept: it does not beat the text twin\nnext: more questions in train.jsonl of the domains")
        return
    table = simple_table(["domain", "licence", "questions", "dev F1", "text twin"], left=["domain", "licence"])
    for one in card.domains:
        table.add_row(
            one.name,
            one.licence or "unknown",
            str(one.questions),
            _score(one.token_f1),
            _score(one.token_f1_text_twin),
        )
    for two in card.unseen:
        table.add_row(f"{two.name} (unseen)", "", "0", _score(two.token_f1), _score(two.token_f1_text_twin))
    out.print(table)
    out.print(f"kept in {report.folder}\nnext: write `start: {card.name}` to domain.yaml of another domain")


def sources_command(json: JsonOption = False) -> None:
    """List the source grafts: those in grafts/, and the starters that ship with the package.

    Example: `softgraft sources`
    """
    from soft_prompt.errors import ArtifactError
    from softgraft.sources.shelf import packaged_folders, read_source, source_folders

    rows, notes = [], []
    packaged = packaged_folders()
    for folder in source_folders():
        try:
            source = read_source(folder)
        except ArtifactError as error:
            notes.append(str(error))
            continue
        manifest, card = source.manifest, source.card
        rows.append(
            {
                "name": card.name,
                "folder": str(folder),
                "packaged": folder in packaged,
                "backbone": manifest.backbone,
                "template": manifest.template_name,
                "gain": card.gain,
                **card.model_dump(include={"domains", "unseen", "seed", "made_by", "vectors_sha256"}),
            }
        )
    if json:
        print_json({"sources": rows, "damaged": notes})
        return
    print_notes(notes)
    if not rows:
        out.print("no source grafts\nnext: softgraft source NAME --from DOMAIN,DOMAIN")
        return
    table = simple_table(
        ["name", "backbone", "template", "trained on", "gain"], left=["name", "backbone", "template", "trained on"]
    )
    for row in rows:
        gain = "-" if row["gain"] is None else f"{row['gain']:+.3f}"
        names = ", ".join(f"{one['name']} ({one['licence'] or 'licence unknown'})" for one in row["domains"])
        # Of a local folder, its name.
        backbone = Path(row["backbone"]).name if Path(row["backbone"]).is_absolute() else row["backbone"]
        table.add_row(row["name"], backbone, row["template"], names, gain)
    out.print(table)
    out.print("gain: token F1 minus that of the text twin, mean over the domains that it was not trained on")


def transfer_command(
    domains: _Domains,
    json: JsonOption = False,
    limit: LimitOption = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Questions to use.")] = "test",
    labels: Annotated[
        int,
        typer.Option(min=0, help="Number of train questions of the asked domain that each soft prompt also learns."),
    ] = 0,
    output: Annotated[Path, typer.Option(help="Folder for transfer.json and transfer.png.")] = Path("grafts"),
) -> None:
    """Measure how well the soft prompt of each domain answers the questions of the others.

    Beside them stand the quote and the text twin, which no soft prompt takes part in.

    Example: `softgraft transfer bank,clinic,college --limit 60`
    """
    from soft_prompt.files import write_bytes
    from softgraft.jobs.transfer import measure_transfer, save_heat_map

    opened = _opened(domains)
    # Before anything is measured, which takes long.
    output.mkdir(parents=True, exist_ok=True)
    with progress_bars(not json) as progress:
        report = measure_transfer(
            opened,
            split=split,
            limit=limit,
            labels=labels,
            on_cell=lambda asked, done, total: progress(f"asking {asked}", done, total),
            on_step=on_train(progress),
        )
    write_bytes(output / "transfer.json", dump_json(asdict(report), indent=1).encode() + b"\n")
    save_heat_map(report, output / "transfer.png")
    if json:
        print_json(asdict(report))
        return
    _print_transfer(report)
    out.print(f"written to {output / 'transfer.json'} and transfer.png")


def _print_transfer(report: TransferReport) -> None:
    names = list(dict.fromkeys((cell.trained_on, cell.labels) for cell in report.cells))
    cells = {(cell.trained_on, cell.labels, cell.asked): cell for cell in report.cells}
    table = simple_table(["trained on", *report.domains], left=["trained on"])
    for name, labels in names:
        row = [cells.get((name, labels, asked)) for asked in report.domains]
        shown = [f"{_score(one.accuracy)}  {one.token_f1:.3f}" if one else "-" for one in row]
        table.add_row(f"{name}, {labels} labels" if labels else name, *shown)
    out.print(table)
    out.print(f"accuracy and token F1 on {report.split}; columns: the domain that is asked")
    for name, value in report.correlations.items():
        if value is not None:
            out.print(f"rank correlation of the gain with {name.replace('_', ' ')}: {value:+.2f}")


def _opened(names: str) -> list[Domain]:
    return [open_domain(name.strip()) for name in names.split(",") if name.strip()]


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
