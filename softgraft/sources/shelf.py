"""Where source grafts are: those of this folder in grafts/, and the ones that ship with the package."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from soft_prompt import Manifest, read_manifest
from soft_prompt.artifact.saved_folder import current_folder
from soft_prompt.errors import ArtifactError
from softgraft.errors import DomainError
from softgraft.settings.location import DOMAINS
from softgraft.sources.card import CARD, SourceCard, SourceDomain, read_card

GRAFTS = Path("grafts")
# In a source's folder, as in a build folder.
SOFT_PROMPT = "soft_prompt"
STARTER = "starter"
# One folder per template.
_PACKAGED = Path(__file__).resolve().parent.parent / "starters"


@dataclass(frozen=True, slots=True)
class Source:
    """A source graft, read without a model."""

    folder: Path
    card: SourceCard
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def soft_prompt(self) -> Path:
        """The folder of the soft prompt."""
        return self.folder / SOFT_PROMPT


def read_source(folder: Path) -> Source:
    """The source in a folder, or the trained soft prompt in the build folder of a domain, which has no card.

    Raises:
        ArtifactError: if its card or soft prompt is missing or damaged, or if they do not belong together.
    """
    manifest = read_manifest(folder / SOFT_PROMPT)
    if manifest is not None and not (folder / CARD).is_file():
        return Source(folder, _card_of_domain(folder, manifest), manifest)
    card = read_card(folder)
    again = f"make the source again, or delete {folder}"
    if manifest is None:
        raise ArtifactError(
            found=f"no soft prompt in {folder}", expected="the one that its card describes", next_step=again
        )
    if manifest.vectors_sha256 != card.vectors_sha256:
        raise ArtifactError(
            found=f"the card in {folder} describes another soft prompt ({card.vectors_sha256[:12]})",
            expected=f"the card of {manifest.vectors_sha256[:12]}",
            next_step=again,
        )
    return Source(folder, card, manifest)


def _card_of_domain(build: Path, manifest: Manifest) -> SourceCard:
    """What is known of a domain's own soft prompt."""
    names = "-".join(one.domain for one in manifest.trained_on)
    scores = manifest.scores
    domains = [
        SourceDomain(
            name=one.domain,
            licence=one.licence,
            questions=one.questions,
            token_f1=scores.dev_token_f1,
            token_f1_text_twin=scores.dev_token_f1_text_twin,
        )
        for one in manifest.trained_on
    ]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", names or build.resolve().parent.name).strip("-_") or "domain"
    return SourceCard(
        name=name, vectors_sha256=manifest.vectors_sha256, seed=manifest.seed, seconds=0.0, domains=tuple(domains)
    )


def source_folders() -> list[Path]:
    """The folders of all sources: own ones by name, then those of the package."""
    own = sorted(path.parent for path in GRAFTS.glob(f"*/{CARD}"))
    return [*own, *packaged_folders()]


def packaged_folders() -> list[Path]:
    """The starters that ship with the package, one per template."""
    return sorted(path.parent for path in _PACKAGED.glob(f"*/{CARD}"))


def find_source(name: str) -> Source:
    """A source by its name under grafts/ or the path of its folder, or a trained domain by its name or path.

    Raises:
        DomainError: if there is none.
        ArtifactError: if it is damaged.
    """
    for folder in (Path(name), GRAFTS / name, Path(name) / "build", DOMAINS / name / "build"):
        if (folder / CARD).is_file() or current_folder(folder / SOFT_PROMPT).is_dir():
            return read_source(folder)
    known = sorted({path.name for path in source_folders() if path.parent == GRAFTS})
    similar = difflib.get_close_matches(name, known, n=1)
    raise DomainError(
        found=f"no source graft {name!r}" + (f"; did you mean {similar[0]!r}?" if similar else ""),
        expected=f"one of {', '.join(known)} in {GRAFTS}/, a trained domain, or the path of either"
        if known
        else f"a trained domain, or the path of one or of a source; there is no source in {GRAFTS}/",
        next_step="make one: softgraft source NAME --from DOMAIN,DOMAIN",
    )
