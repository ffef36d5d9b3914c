"""The form of a domain's answers: as domain.yaml sets it or, for `auto`, as chosen on dev when it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chains.answering.answer_writer import AnswerForm
from evaluation.systems import SystemAnswers
from retrieval.store.checked_file import read_checked, with_checksum
from soft_prompt import read_manifest
from soft_prompt.files import write_bytes
from softgraft.errors import DomainError
from softgraft.settings.domain_file import DomainFile

# In build/: what `auto` means for this domain.
FORM = "answer_form.json"
# The forms that are compared, in the order in which they are preferred if the scores are equal.
CANDIDATES: tuple[AnswerForm, ...] = ("generate", "both", "extract", "quote")


_Score = Annotated[float, Field(ge=0, le=1)]


class FormScores(BaseModel):
    """Mean scores of one form on dev, 0 to 1; `accuracy` is None if no question has a short answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: _Score | None
    token_f1: _Score

    @property
    def deciding(self) -> float:
        """The accuracy, or token F1 if there is none."""
        return self.token_f1 if self.accuracy is None else self.accuracy


class ChosenForm(BaseModel):
    """The form that was best on dev.

    Attributes:
        soft_prompt: digest of the vectors it was chosen with; another soft prompt makes the choice invalid.
        questions: number of dev questions that were answered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["generate", "extract", "quote", "both"]
    soft_prompt: str
    questions: Annotated[int, Field(ge=0)]
    scores: dict[str, FormScores]

    @property
    def metric(self) -> str:
        """Name of the score that decided: accuracy if the questions have short answers, else token F1."""
        return "token F1" if any(one.accuracy is None for one in self.scores.values()) else "accuracy"

    def ranked(self) -> dict[str, float]:
        """Each form's score by `metric`, the best first and the chosen one before its equals."""
        values = {name: one.deciding for name, one in self.scores.items()}
        return dict(sorted(values.items(), key=lambda entry: (-entry[1], entry[0] != self.form)))


def answer_form(file: DomainFile, build: Path) -> AnswerForm:
    """The form of the answers.

    Raises:
        DomainError: if the choice cannot be read.
    """
    if file.answer.form != "auto":
        return file.answer.form
    if file.behind_api:
        return "generate"
    manifest, chosen = read_manifest(build / "soft_prompt"), load_form(build / FORM)
    if manifest is None:
        return "quote"
    return chosen.form if chosen is not None and chosen.soft_prompt == manifest.vectors_sha256 else "both"


def choose_form(answers: Mapping[AnswerForm, SystemAnswers], soft_prompt: str) -> ChosenForm:
    """The form with the most replies that contain the answer; among forms that differ by one question, the best F1."""
    scores = {form: _scores(answers[form]) for form in CANDIDATES if form in answers}
    questions = max(len(one.answers) for one in answers.values())
    deciding = {form: one.deciding for form, one in scores.items()}
    best = max(deciding.values())
    close = [form for form, score in deciding.items() if score >= best - 1 / max(1, questions) - 1e-9]
    form = max(close, key=lambda name: scores[name].token_f1)
    return ChosenForm(
        form=form, soft_prompt=soft_prompt, questions=questions, scores={str(name): own for name, own in scores.items()}
    )


def _scores(answers: SystemAnswers) -> FormScores:
    accuracy = [a.accuracy for a in answers.answers if a.accuracy is not None and a.item.answers]
    f1 = [a.f1 for a in answers.answers if a.f1 is not None and a.item.answerable]
    return FormScores(accuracy=_mean(accuracy) if accuracy else None, token_f1=_mean(f1))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def save_form(chosen: ChosenForm, path: Path) -> None:
    """Write the choice with a checksum, atomically."""
    write_bytes(path, with_checksum(chosen.model_dump_json(indent=1).encode()))


def load_form(path: Path) -> ChosenForm | None:
    """The saved choice, or None.

    Raises:
        DomainError: if the file cannot be read or is damaged.
    """
    if not path.is_file():
        return None
    try:
        return ChosenForm.model_validate_json(read_checked(path))
    except (OSError, ValueError) as error:
        raise DomainError(
            found=f"{path} holds no form of answers: {str(error).splitlines()[0]}",
            expected="what `softgraft train` wrote",
            next_step=f"delete {path}",
        ) from error
