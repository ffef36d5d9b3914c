"""Detects another project's `prompts` or `chains` that Python would import in place of ours.

Python looks for modules beside the script, or in the current folder, before it looks among the installed packages. A
project with a folder of the same name as one of our packages would replace it, and fail later in confusing ways.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

PACKAGES = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation")
_HOME = Path(__file__).resolve().parents[1]
# The exit code of errors in the command line.
EXIT_CODE = 2


class ShadowedPackageError(ImportError):
    """Another package would be imported in place of one of ours: what was found and expected, and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


def require_own_packages() -> None:
    """Check, without importing anything, that each of our packages is the one that was installed with this module.

    Raises:
        ShadowedPackageError: names both paths of the first one that is not.
    """
    for name in PACKAGES:
        place = _place(name)
        if place is not None and place != _HOME / name:
            raise ShadowedPackageError(
                found=f"{place}, which Python imports in place of Softgraft's package {name!r}",
                expected=f"{_HOME / name}",
                next_step=f"{_next_step(place)}, or rename {place.name}",
            )


def is_command_line() -> bool:
    """Whether this process runs the `softgraft` command, which prints the error instead of raising it."""
    if sys.argv[:1] == ["-m"]:
        # Python is still looking for the module of `python -m softgraft`.
        options = sys.orig_argv[1:]
        return "-m" in options and options[options.index("-m") + 1 :][:1] == ["softgraft"]
    return bool(sys.argv) and Path(sys.argv[0]).stem == "softgraft"


def _place(name: str) -> Path | None:
    """The file or folder that `import name` loads; None if that is not known or there is none."""
    if name in sys.modules:
        spec: ModuleSpec | None = getattr(sys.modules[name], "__spec__", None)
    else:
        spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    # A folder without __init__.py has locations but no origin.
    locations = list(spec.submodule_search_locations or [])
    place = locations[0] if locations else spec.origin
    return Path(place).resolve() if place else None


def _next_step(place: Path) -> str:
    first = sys.path[0] if sys.path else ""
    # An empty entry stands for the current folder.
    if place.parent == Path(first or ".").resolve():
        return "start Python with -P, as in `python -P -m softgraft` or PYTHONSAFEPATH=1, or from another folder"
    return f"remove {place.parent} from PYTHONPATH"
