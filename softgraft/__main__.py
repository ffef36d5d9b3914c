"""`python -m softgraft` and the console script: run a command and turn errors into messages and exit codes."""

from __future__ import annotations

import json
import os
import sys

# What shells call a process that Ctrl-C ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    # The encoder's tokenizer warns about forks that never happen here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from softgraft.cli import app
    from softgraft.commands.screen import say_error
    from softgraft.errors import KNOWN, outcome_of

    try:
        # Outside its standalone mode the library returns the exit code that a command ended with.
        code = app(prog_name="softgraft", standalone_mode=False)
    except KNOWN as error:
        outcome = outcome_of(error)
        if "--json" in sys.argv:
            fields = {name: getattr(error, name) for name in ("found", "expected", "next_step")}
            sys.stdout.write(json.dumps({"error": {"type": type(error).__name__, **fields}}) + "\n")
        else:
            say_error(error)
        code = outcome.exit_code
    except Exception as error:
        code = _command_line_error(error)
        if code is None:
            raise
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        sys.stderr.write("\nStopped. Nothing that was there before is lost.\n")
    if code:
        sys.exit(code)


def _command_line_error(error: Exception) -> int | None:
    """Show what the command line library found wrong; its own exit code, or None where the error is not its own."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ in ("Abort", "Exit"):
        return int(getattr(error, "exit_code", INTERRUPTED))
    return None


if __name__ == "__main__":
    main()
