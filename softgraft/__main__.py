"""`python -m softgraft` and the console script: run a command, and turn errors into messages and exit codes."""

from __future__ import annotations

import sys
import traceback

from softgraft.shadowing import EXIT_CODE, ShadowedPackageError, require_own_packages
from softgraft.terminal import json_text, visible

# The exit code of a process that Ctrl-C ended, as in shells.
INTERRUPTED = 130
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

    with safe_streams():
        with quiet_libraries(print_progress_note):
            code = _run()
        if code == INTERRUPTED:
            sys.stderr.write("\nStopped. Everything that was saved before is kept.\n")
    if code:
        sys.exit(code)


def _run() -> int | None:
    from softgraft.cli import app
    from softgraft.commands.console import print_error
    from softgraft.errors import KNOWN, outcome_of

    try:
        # Without standalone mode, typer returns the exit code of the command.
        code: int | None = app(prog_name="softgraft", standalone_mode=False)
    except KNOWN as error:
        print_error(error, json="--json" in sys.argv)
        code = outcome_of(error).exit_code
    except Exception as error:  # noqa: BLE001 -- the last resort, which shows the traceback
        code = _command_line_error(error)
        if code is None:
            # Here, because Python would print it after the streams are restored.
            traceback.print_exc()
            code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


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
