"""What all commands share: their options, opening the domain, and printing.

Answers and tables go to standard output; progress bars, notes and errors go to standard error. Whatever is printed is
text of documents, models, users or servers, so the consoles show it as it is: brackets are no markup, control
characters are visible, and secrets are hidden.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from chains.speakers.secrets import data_without_secrets, without_known_secrets, without_secrets
from soft_prompt.json_text import dump_json
from soft_prompt.private_files import new_private_file
from softgraft import terminal
from softgraft.errors import UsageError
from softgraft.settings.location import domain_folder
from softgraft.terminal import Clean, safe_json, visible

if TYPE_CHECKING:
    from retrieval import IngestProgress
    from soft_prompt import TrainStep
    from softgraft.domain import Domain

DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="A name under domains/, or a path.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output, and no progress.")]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Maximum number of questions, spread evenly over the file.")
]

# Without a terminal the default width is 80, which wraps every table.
_PIPE_WIDTH = 120


class Styled(str):
    """Text with a style, such as `bold red`."""

    style: str


def styled(text: object, style: str) -> Styled:
    """Text to print in a style."""
    result = Styled(text)
    result.style = style
    return result


class SafeConsole(Console):
    """A console without markup and emoji codes, which cleans every text before it shows it."""

    def __init__(self, clean: Clean, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else _PIPE_WIDTH
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)
        self._clean = clean

    def render_str(self, text: str, **options: Any) -> Text:
        if isinstance(text, Styled):
            options["style"] = text.style
        return super().render_str(self._clean(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        # What did not begin as a string, such as the text beside a progress bar.
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(self._clean(segment.text), segment.style)


def _clean_answer(text: str) -> str:
    """For standard output: a document may show a key as an example, so only known secrets are hidden."""
    return visible(without_known_secrets(text))


def _clean_message(text: str) -> str:
    """For standard error."""
    return visible(without_secrets(text))


out = SafeConsole(_clean_answer)
err = SafeConsole(_clean_message, stderr=True)


def safe_streams() -> AbstractContextManager[None]:
    """A context in which all other output is cleaned as well: prompts, warnings, log lines and tracebacks."""
    return terminal.safe_streams(_clean_answer, _clean_message)


def open_domain(name: str) -> Domain:
    """Open a domain by its name under domains/ or by its path."""
    folder = domain_folder(name)
    from softgraft.settings.domain_file import read_domain_file

    # Report a wrong name or setting before the next import, which loads PyTorch and takes seconds.
    read_domain_file(folder)
    from softgraft.domain import open_domain

    return open_domain(folder)


def print_json(data: Any, *, indent: int | None = 1) -> None:
    """Print one JSON object to standard output at once, so that another program can read it."""
    sys.stdout.write(safe_json(dump_json(data, indent=indent, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def print_error(error: Any, *, json: bool) -> None:
    """Print an error of this project: in three lines to standard error, or as one JSON object to standard output."""
    if json:
        fields = {name: getattr(error, name) for name in ("found", "expected", "next_step")}
        print_json(data_without_secrets({"error": {"type": type(error).__name__, **fields}}), indent=None)
        return
    err.print(styled("error:", "bold red"), error.found)
    err.print(f"  expected: {error.expected}")
    err.print(f"  next:     {error.next_step}")


def print_notes(notes: Sequence[str], console: Console = err) -> None:
    """Print notices, by default to standard error."""
    for note in notes:
        console.print(styled("note:", "yellow"), note)


# More suffixes than these are summed up.
_SUFFIXES_SHOWN = 8


def print_skipped(counts: Mapping[str, int]) -> None:
    """Print how many files of each unsupported suffix were skipped."""
    if counts:
        shown = [f"{count} {suffix or 'without a suffix'}" for suffix, count in counts.items()]
        if others := sum(list(counts.values())[_SUFFIXES_SHOWN:]):
            shown[_SUFFIXES_SHOWN:] = [f"{others} others"]
        err.print(styled("skipped:", "yellow"), f"files of unsupported formats: {', '.join(shown)}")


def print_left_out(files: Iterable[tuple[str, str]]) -> None:
    """Print the names of files that are left out, with the reasons."""
    for name, reason in files:
        err.print(styled("left out:", "yellow"), f"{name}: {reason}")


def print_next(state: Mapping[str, Any]) -> None:
    """The next command of a domain's status, and how its answers could become better."""
    out.print(f"next: {state['next']}")
    if state["better"]:
        out.print(styled(state["better"], "dim"))


def print_progress_note(message: str) -> None:
    """Print what our packages log about work that takes long, such as unpacking the backbone at its first use."""
    err.print(styled(message, "dim"))


def on_terminal() -> bool:
    """Whether both outputs go to a terminal, not to a file or a pipe."""
    return sys.stdout.isatty() and sys.stderr.isatty()


class UpdateProgress(Protocol):
    """Sets one progress bar; creates it at the first call with its name."""

    def __call__(self, name: str, done: int, total: int, remark: str = "") -> None: ...


@contextmanager
def progress_bars(show: bool) -> Iterator[UpdateProgress]:
    """Show progress bars on a terminal, and nothing elsewhere."""
    with Progress(
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}", markup=False),
        console=err,
        # What else is printed meanwhile would be read as control characters.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not (show and on_terminal()),
    ) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int, remark: str = "") -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, remark=remark)
            progress.update(tasks[name], completed=done, total=total, remark=remark)

        yield update


def on_ingest(progress: UpdateProgress) -> Callable[[IngestProgress], None]:
    """A callback that shows the progress of an ingest."""

    def show(p: IngestProgress) -> None:
        rate = f"{p.documents / p.seconds:,.1f} documents/s" if p.documents and p.seconds else ""
        progress(p.stage, p.done, p.total, rate if p.stage in {"reading", "embedding"} else "")

    return show


def on_train(progress: UpdateProgress) -> Callable[[TrainStep], None]:
    """A callback that shows the progress of training."""
    names = {
        "prefixes": "computing passages",
        "layers": "computing lower layers",
        "train": "training",
        "dev": "evaluating on dev",
    }

    def show(step: TrainStep) -> None:
        remark = ""
        if step.loss is not None:
            remark = f"epoch {step.epoch}  loss {step.loss:.2f}"
            if step.examples_per_second:
                remark += f"  {step.examples_per_second:.1f} examples/s"
        progress(names[step.phase], step.done, step.total, remark)

    return show


def on_score(progress: UpdateProgress) -> Callable[[str, int, int], None]:
    """A callback that shows how many dev questions a system has answered."""
    return lambda system, done, total: progress(f"answering dev, {system}", done, total)


def simple_table(columns: Sequence[str], left: Collection[str]) -> Table:
    """A table without a frame; the columns in `left` are left-aligned, the others right-aligned."""
    # Two spaces between columns: tables should fit 80 columns.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def write_private_file(output: Path, text: str) -> None:
    """Write what a user asked for to a new file that only they can read.

    Raises:
        UsageError: if the file exists or cannot be written; a file that was begun is deleted.
    """
    try:
        file = new_private_file(output)
        try:
            with file:
                file.write(text)
        except OSError:
            output.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            found=f"{output} cannot be written: {error.strerror}",
            expected="a new file in a folder that exists",
            next_step="give --output another name",
        ) from error
