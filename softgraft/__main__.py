"""`python -m softgraft` and the console script: run a command and turn errors into messages and exit codes."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Run the command line."""
    # The encoder's tokenizer warns about forks that never happen here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from softgraft.cli import app
    from softgraft.errors import KNOWN, outcome_of
    from softgraft.screen import say_error

    try:
        app(prog_name="softgraft", standalone_mode=False)
    except KNOWN as error:
        outcome = outcome_of(error)
        if "--json" in sys.argv:
            fields = {name: getattr(error, name) for name in ("found", "expected", "next_step")}
            sys.stdout.write(json.dumps({"error": {"type": type(error).__name__, **fields}}) + "\n")
        else:
            say_error(error)
        sys.exit(outcome.exit_code)
    except Exception as error:
        handled = _command_line_error(error)
        if handled is None:
            raise
        sys.exit(handled)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Nothing that was there before is lost.\n")
        sys.exit(130)


def _command_line_error(error: Exception) -> int | None:
    """Show what the command line library found wrong; its own exit code, or None where the error is not its own."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ in ("Abort", "Exit"):
        return int(getattr(error, "exit_code", 130))
    return None


if __name__ == "__main__":
    main()
