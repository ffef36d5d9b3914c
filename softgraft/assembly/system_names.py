"""The systems that an evaluation compares, by name."""

from __future__ import annotations

from collections.abc import Sequence

from softgraft.errors import UsageError

SYSTEMS = ("base", "template", "text-twin", "soft", "soft-gold")


def system_names(
    wanted: Sequence[str] | None, *, trained: bool, cli_name: str, among: Sequence[str] = SYSTEMS
) -> list[str]:
    """The systems to compare, in their usual order.

    Args:
        wanted: their names; None compares all available systems.
        trained: whether there is a soft prompt to compare.
        cli_name: name of the domain on the command line.
        among: the systems of the domain's task.

    Raises:
        UsageError: if a name is unknown, or needs a soft prompt and there is none.
    """
    available = [name for name in among if trained or not name.startswith("soft")]
    unknown = sorted(set(wanted or ()) - set(available))
    if unknown or wanted == []:
        only_training_is_missing = bool(unknown) and set(unknown) <= set(among)
        raise UsageError(
            found=f"no system {', '.join(unknown) or 'at all'} to compare",
            expected=f"some of {', '.join(available)}",
            next_step=f"run: softgraft train {cli_name}"
            if only_training_is_missing
            else f"run: softgraft eval {cli_name} --systems {available[-1]}",
        )
    return [name for name in available if wanted is None or name in wanted]
