"""Instructions inserted in the evidence of train questions, so that the soft prompt learns not to follow them.

The defence of DefensiveTokens (Chen et al. 2025, arXiv:2507.07974): the evidence contains an instruction, the target
stays the normal response.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from chains import Evidence
from retrieval.markup import Markup
from retrieval.regular_files import open_regular
from retrieval.splitting.sentences import sentence_spans
from softgraft.errors import UsageError
from softgraft.settings.domain_file import TrainSettings
from softgraft.training.attack_texts import ATTACK_TEXTS

Position = Literal["start", "middle", "end"]
POSITIONS: tuple[Position, ...] = get_args(Position)
MAX_FILE_BYTES, MAX_CHARACTERS = 1 << 20, 1000


def insert_text(text: str, inserted: str, position: Position, markup: Markup = "markdown") -> str:
    """A passage's text with a paragraph of its own inserted at the start, at the end or between two sentences."""
    if position == "start":
        return f"{inserted}\n{text}"
    spans = list(sentence_spans(text, markup))
    if position == "end" or len(spans) < 2:
        return f"{text.rstrip()}\n{inserted}"
    # Up to the end of the previous sentence, so that list markers and table borders stay with their sentence.
    cut = spans[(len(spans) + 1) // 2 - 1][1]
    return f"{text[:cut].rstrip()}\n{inserted}\n{text[cut:].lstrip()}"


def with_attack(evidence: Evidence, attack: str, number: int, position: Position) -> Evidence:
    """Evidence whose passage of this number (0 is the best) contains an instruction."""
    passages = list(evidence.passages)
    passage = passages[number].passage
    attacked = replace(passage, text=insert_text(passage.text, attack, position, passage.markup))
    passages[number] = replace(passages[number], passage=attacked)
    return replace(evidence, passages=tuple(passages))


@dataclass(frozen=True)
class TrainingAttacks:
    """Which instructions are inserted in the evidence of which share of the questions; `seed` chooses."""

    texts: Sequence[str]
    share: float
    seed: int = 0

    def insert(self, evidence: Sequence[Evidence]) -> list[Evidence]:
        """The evidence of all questions, a share of it with an instruction in one passage.

        Question, passage and position are chosen at random; each text is used about as often as any other.
        """
        rng = random.Random(self.seed)
        attacked = list(evidence)
        chosen = rng.sample(range(len(attacked)), round(self.share * len(attacked)))
        texts = rng.sample(list(self.texts), len(self.texts))
        for turn, index in enumerate(chosen):
            one = attacked[index]
            # Drawn even if there is no passage, so that one question's evidence does not change the choice for others.
            draw, position = rng.random(), rng.choice(POSITIONS)
            if one.passages:
                number = int(draw * len(one.passages))
                attacked[index] = with_attack(one, texts[turn % len(texts)], number, position)
        return attacked


def training_attacks(settings: TrainSettings, folder: Path) -> TrainingAttacks | None:
    """The attacks that the settings ask for; None by default. `folder` is the domain's.

    Raises:
        UsageError: if the file of attack texts cannot be used.
    """
    if settings.attack_share is None:
        return None
    texts = ATTACK_TEXTS if settings.attack_file is None else read_attacks(_located(settings.attack_file, folder))
    return TrainingAttacks(texts, settings.attack_share, settings.seed)


def read_attacks(path: Path) -> tuple[str, ...]:
    """The attack texts of a UTF-8 text file with one per line; empty lines are left out.

    Raises:
        UsageError: if the file cannot be read, is too large or holds no text, or a line is too long.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise _unusable(f"{path} with {path.stat().st_size} bytes")
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"{path}, which cannot be read as text: {error}") from error
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_CHARACTERS:
            raise _unusable(f"{path}, line {number} with {len(line)} characters")
    texts = tuple(line for line in lines if line)
    if not texts:
        raise _unusable(f"no text in {path}")
    return texts


def _located(name: str, folder: Path) -> Path:
    """A path from the domain's folder if there is such a file, else from the working directory."""
    return own if (own := folder / name).exists() else Path(name)


def _unusable(found: str) -> UsageError:
    return UsageError(
        found=found,
        expected=f"a UTF-8 text file of at most {MAX_FILE_BYTES >> 20} MiB with one attack text per line, each of at "
        f"most {MAX_CHARACTERS} characters",
        next_step="correct `train.attack_file` in domain.yaml or --attack-file, or leave it out for the built-in texts",
    )
