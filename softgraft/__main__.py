"""`python -m softgraft` and the console script: run a command, and turn errors into messages and exit codes."""

from __future__ import annotations

import sys
import traceback

from softgraft.shadowing import EXIT_CODE, ShadowedPackageError, require_own_packages
from softgraft.terminal import json_text, visible

# The exit code of a process that Ctrl-C ended, as in shells.
INTERRUPTED = 130
# The same if what reads its output has ended, as `head` does; Rich ends so too.
UNREAD = 1
# The exit code of a process that an unexpected error ended, as in Python.
FAILED = 1


def main() -> None:
    try:
        require_own_packages()
    except ShadowedPackageError as error:
        # The console needs the packages that are shadowed.
        _print_plain(error)
        sys.exit(EXIT_CODE)
    from softgraft.commands.console import print_progress_note, safe_streams
    from softgraft.quiet import quiet_libraries
    from softgraft.streams import set_up_streams

    set_up_streams()
    with safe_streams():
        with quiet_libraries(print_progress_note):
            code = _run()
        if code == INTERRUPTED:
            sys.stderr.write("\nStopped. Everything that was saved before is kept.\n")
    if code:
        sys.exit(code)


def _run() -> int | None:
    from softgraft.cli import app
    from softgraft.failures import require_text

    code: int | None
    try:
        require_text(sys.argv[1:])
        # Without standalone mode, typer returns the exit code of the command.
        code = app(prog_name="softgraft", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 -- the last resort, which shows the traceback
        code = _command_line_error(error)
        if code is None and (code := _failure(error)) is None:
            # Here, because Python would print it after the streams are restored.
            traceback.print_exc()
            code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code if code else _flushed()


def _failure(error: Exception) -> int | None:
    """Print an error of this project, or what the operating system or a parser raised, and return its exit code.

    None for any other error: it is a bug, whose traceback is wanted.
    """
    from softgraft.commands.console import print_error
    from softgraft.errors import KNOWN, outcome_of
    from softgraft.failures import known_error

    if isinstance(error, BrokenPipeError) and error.filename is None:
        return _flushed() or UNREAD
    known = error if isinstance(error, KNOWN) else known_error(error)
    if known is None:
        return None
    try:
        print_error(known, json="--json" in sys.argv)
    except OSError:
        # It may be standard output that takes no more.
        print_error(known, json=False)
    return _flushed() or outcome_of(known).exit_code


def _flushed() -> int | None:
    """Flush standard output; the exit code if it takes no more, else None."""
    from softgraft.commands.console import print_error
    from softgraft.errors import outcome_of
    from softgraft.failures import output_error
    from softgraft.streams import flush_output

    problem = flush_output()
    if problem is None or isinstance(problem, BrokenPipeError):
        return None if problem is None else UNREAD
    error = output_error(problem)
    print_error(error, json=False)
    return outcome_of(error).exit_code


def _command_line_error(error: Exception) -> int | None:
    """Print an error of typer, whose classes are private, and return its exit code; None for any other error."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ in ("Abort", "Exit"):
        return int(getattr(error, "exit_code", INTERRUPTED))
    return None


def _print_plain(error: ShadowedPackageError) -> None:
    """As `print_error`, with the standard library alone."""
    fields = {name: getattr(error, name) for name in ("found", "expected", "next_step")}
    if "--json" in sys.argv:
        sys.stdout.write(json_text({"error": {"type": type(error).__name__, **fields}}, indent=None) + "\n")
        return
    sys.stderr.write(visible(f"error: {error.found}\n  expected: {error.expected}\n  next:     {error.next_step}\n"))


if __name__ == "__main__":
    main()
