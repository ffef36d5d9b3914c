"""`python -m softgraft` and the console script: run a command, and turn errors into messages and exit codes."""

from __future__ import annotations

import os
import sys

# The exit code of a process that Ctrl-C ended, as in shells.
INTERRUPTED = 130


def main() -> None:
    # The tokenizer of the encoder warns about forks, and there are none.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        # Libraries draw their progress bars even into files and pipes.
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from softgraft.cli import app
    from softgraft.commands.console import print_error
    from softgraft.errors import KNOWN, outcome_of

    try:
        # Without standalone mode, typer returns the exit code of the command.
        code = app(prog_name="softgraft", standalone_mode=False)
    except KNOWN as error:
        print_error(error, json="--json" in sys.argv)
        code = outcome_of(error).exit_code
    except Exception as error:
        code = _command_line_error(error)
        if code is None:
            raise
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        sys.stderr.write("\nStopped. Everything that was saved before is kept.\n")
    if code:
        sys.exit(code)


def _command_line_error(error: Exception) -> int | None:
    """Print an error of typer, whose classes are private, and return its exit code; None for any other error."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ in ("Abort", "Exit"):
        return int(getattr(error, "exit_code", INTERRUPTED))
    return None


if __name__ == "__main__":
    main()
