"""From the form of a template file to the template, with every problem of its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prompts.blocks import find_block, resolved_text
from prompts.form import MessageForm, PartForm, TemplateForm
from prompts.pieces import Part, Piece, Slot, When, joined, parse_pieces, slot_names
from prompts.segments import Example
from prompts.source import Source
from prompts.template import EXAMPLE_FIELDS, EXAMPLES, PASSAGE_FIELDS, FewShot, MessagePattern, Template

_Loc = tuple[str | int, ...]


def assemble(form: TemplateForm, source: Source, folders: Sequence[Path]) -> Template:
    """Make the template; what is wrong is noted in `source`, and then the template is of no use.

    Args:
        form: of the file.
        source: the file.
        folders: template folders in which included blocks are looked for.
    """
    return _Assembly(form, source).template(folders)


class _Assembly:
    def __init__(self, form: TemplateForm, source: Source) -> None:
        self.form = form
        self.source = source
        self.used: set[str] = set()
        self.soft: list[str] = []
        self.examples_at: list[_Loc] = []
        self.blocks: dict[str, str] = {}
        self.looked: list[Path] = []

    def template(self, folders: Sequence[Path]) -> Template:
        form, source = self.form, self.source
        self._declarations()
        self._include(folders)
        messages = tuple(self._message(number, message) for number, message in enumerate(form.messages))
        passage = self._pieces(form.passage, ("passage",), PASSAGE_FIELDS)
        examples = self._few_shot()
        self._whole(messages)
        return Template(
            name=form.name,
            version=form.version,
            language=form.language,
            description=form.description,
            inputs=form.inputs,
            soft_slots=form.soft_slots,
            messages=messages,
            passage=passage,
            no_passages=form.no_passages,
            optional=frozenset(form.optional),
            examples=examples,
            sources=(source.path, *self.looked),
            text=source.text if source.problems else resolved_text(source, form, self.blocks),
        )

    def _declarations(self) -> None:
        form = self.form
        for number, name in enumerate(form.optional):
            if name not in form.inputs:
                self.source.problem(("optional", number), f"{name!r} is no input; declare it under `inputs:` as well")
        places: dict[str, str] = {}
        for place, names in (("inputs", form.inputs), ("soft_slots", form.soft_slots), ("include", form.include)):
            for name in names:
                if name in places or (name == EXAMPLES and form.examples is not None):
                    other = _KINDS[places[name]] if name in places else "the examples"
                    self.source.problem((place, name), f"{name!r} is both {other} and {_KINDS[place]}")
                places[name] = place

    def _include(self, folders: Sequence[Path]) -> None:
        for name, block in self.form.include.items():
            found = find_block(block, self.form.language, folders)
            self.looked += found.looked
            if found.text is None:
                self.source.problem(("include", name), found.problem)
            self.blocks[name] = found.text or ""

    def _message(self, number: int, message: MessageForm) -> MessagePattern:
        form, loc = self.form, ("messages", number)
        if message.role in ("history", "examples"):
            if message.content is not None:
                self.source.problem(loc, f"{_ENTRY[message.role]} has no content; every other message has one")
            if message.role == "history":
                self.used.add("history")
                if form.inputs.get("history") != "history":
                    self.source.problem(loc, "declare `history: history` under inputs")
            else:
                self._examples_stand(loc)
            return MessagePattern(message.role)
        if message.content is None:
            self.source.problem(loc, f"{_ENTRY['history']} has no content; every other message has one")
        parts: list[Part] = []
        # A single text has no number in the file.
        for at, part in enumerate(message.content or ()):
            parts += self._part(part, (*loc, "content", at))
        return MessagePattern(message.role, joined(parts))

    def _part(self, part: PartForm, loc: _Loc) -> tuple[Part, ...]:
        form = self.form
        allowed = {n for n, kind in form.inputs.items() if kind != "history"} | set(form.soft_slots) | set(form.include)
        if form.examples is not None:
            allowed.add(EXAMPLES)
        pieces = self._pieces(part.text, (*loc, "text"), allowed)
        for name in slot_names(part.text):
            self.used.add(name)
            if name in form.soft_slots:
                self.soft.append(name)
                if part.given is not None:
                    self.source.problem(loc, f"the soft slot {{{name}}} must always stand; take it out of `if`")
            if name == EXAMPLES and form.examples is not None:
                self._examples_stand(loc)
            if name in form.optional and form.inputs.get(name) == "text" and part.given != name:
                self.source.problem(
                    (*loc, "text"), f"the optional input {{{name}}} stands outside of a part with `if: {name}`"
                )
        filled = joined(self.blocks.get(p.name, p) if isinstance(p, Slot) else p for p in pieces)
        if part.given is None:
            return filled
        self.used.add(part.given)
        if part.given not in form.optional:
            why = "list it under `optional:`" if part.given in form.inputs else "declare it under `inputs:`"
            self.source.problem((*loc, "if"), f"`if: {part.given}` names no optional input; {why}")
        return (When(part.given, tuple(p for p in filled if not isinstance(p, When))),)

    def _pieces(self, text: str, loc: _Loc, allowed: Sequence[str] | set[str]) -> tuple[Piece, ...]:
        parsed: tuple[Piece, ...] = ()
        try:
            parsed = parse_pieces(text)
        except ValueError as error:
            self.source.problem(loc, str(error))
        for name in slot_names(text):
            if name not in allowed:
                known = ", ".join(sorted(allowed)) or "(none)"
                self.source.problem(loc, f"unknown slot {{{name}}}; declared are {known}")
        return parsed

    def _examples_stand(self, loc: _Loc) -> None:
        self.examples_at.append(loc)
        if self.form.examples is None:
            self.source.problem(loc, "there are no examples; write some under `examples:`")

    def _few_shot(self) -> FewShot | None:
        given = self.form.examples
        if given is None:
            return None
        text = () if given.text is None else self._pieces(given.text, ("examples", "text"), EXAMPLE_FIELDS)
        if not given.fixed and not given.similar:
            self.source.problem(("examples",), "no examples; write some under `fixed:`, or how many under `similar:`")
        if len(self.examples_at) != 1:
            where = "in no message" if not self.examples_at else "in two places"
            self.source.problem(
                ("examples",), f"the examples stand {where}; put one entry `role: examples`, or the slot {{examples}}"
            )
        in_text = any(len(loc) > 2 for loc in self.examples_at)
        if in_text and given.text is None:
            self.source.problem(("examples",), "the slot {examples} needs `text:`, which says how one is written")
        if given.text is not None and self.examples_at and not in_text:
            self.source.problem(("examples", "text"), "`text` is for the slot {examples}, which stands in no message")
        return FewShot(tuple(Example(e.question, e.answer) for e in given.fixed), given.similar, given.tokens, text)

    def _whole(self, messages: Sequence[MessagePattern]) -> None:
        form = self.form
        declared: Mapping[str, str] = {
            **dict.fromkeys(form.inputs, "inputs"),
            **dict.fromkeys(form.soft_slots, "soft_slots"),
            **dict.fromkeys(form.include, "include"),
        }
        for name in sorted(set(declared) - self.used):
            self.source.problem((declared[name], name), f"{name!r} is declared and used in no message")
        for name in sorted({s for s in self.soft if self.soft.count(s) > 1}):
            self.source.problem(("soft_slots", name), f"the soft slot {name!r} stands in two places")
        if messages[0].role != "system":
            # Many chat templates put a system message of their own where there is none.
            self.source.problem(("messages", 0), "the first message must have the role system")


_ENTRY = {"history": "a history entry", "examples": "an examples entry"}
_KINDS = {"inputs": "an input", "soft_slots": "a soft slot", "include": "an included block"}
