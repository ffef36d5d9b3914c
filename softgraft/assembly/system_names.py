"""The systems that an evaluation compares, by name."""

from __future__ import annotations

from collections.abc import Sequence

from softgraft.errors import UsageError

SYSTEMS = ("base", "template", "text-twin", "soft", "soft-gold")


def system_names(
    wanted: Sequence[str] | None, *, trained: bool, typed: str, among: Sequence[str] = SYSTEMS
) -> list[str]:
    """Those of the wanted systems, in their order; None wants all that there are.

    Args:
        wanted: names.
        trained: whether there is a soft prompt to compare.
        typed: what a person types for the domain.
        among: those that the domain's task has.

    Raises:
        UsageError: a name that is not known, or one that needs a soft prompt where there is none.
    """
    known = [name for name in among if trained or not name.startswith("soft")]
    unknown = sorted(set(wanted or ()) - set(known))
    if unknown or wanted == []:
        untrained = bool(unknown) and set(unknown) <= set(among)
        raise UsageError(
            found=f"no system {', '.join(unknown) or 'at all'} to compare",
            expected=f"some of {', '.join(known)}",
            next_step=f"run: softgraft train {typed}" if untrained else f"softgraft eval {typed} --systems {known[-1]}",
        )
    return [name for name in known if wanted is None or name in wanted]
