"""Build a template from a validated template file, and record every problem of its content."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from prompts.blocks import find_block, inline_blocks
from prompts.pieces import Conditional, Part, Piece, Slot, merge_texts, parse_pieces, slot_names
from prompts.schema import MessageSchema, PartSchema, TemplateSchema
from prompts.segments import Example
from prompts.source import TemplateSource
from prompts.template import EXAMPLE_FIELDS, EXAMPLES, PASSAGE_FIELDS, FewShot, MessageTemplate, Template

_Location = tuple[str | int, ...]


def build_template(schema: TemplateSchema, source: TemplateSource, folders: Sequence[Path]) -> Template:
    """Build the template. Use it only if `source` has no problems afterwards."""
    return _TemplateBuilder(schema, source).build(folders)


class _TemplateBuilder:
    def __init__(self, schema: TemplateSchema, source: TemplateSource) -> None:
        self.schema = schema
        self.source = source
        self.used_names: set[str] = set()
        self.soft_slots: list[str] = []
        self.example_locations: list[_Location] = []
        self.blocks: dict[str, str] = {}
        self.block_paths: list[Path] = []

    def build(self, folders: Sequence[Path]) -> Template:
        schema, source = self.schema, self.source
        self._check_declarations()
        self._read_blocks(folders)
        messages = tuple(self._message(number, message) for number, message in enumerate(schema.messages))
        passage = self._pieces(schema.passage, ("passage",), PASSAGE_FIELDS)
        examples = self._few_shot()
        self._check_template(messages)
        return Template(
            name=schema.name,
            version=schema.version,
            language=schema.language,
            description=schema.description,
            inputs=schema.inputs,
            soft_slots=schema.soft_slots,
            messages=messages,
            passage=passage,
            no_passages=schema.no_passages,
            optional=frozenset(schema.optional),
            examples=examples,
            sources=(source.path, *self.block_paths),
            text=source.text if source.problems else inline_blocks(source, self.blocks),
        )

    def _problem(self, location: _Location, message: str) -> None:
        self.source.add_problem(location, message)

    def _check_declarations(self) -> None:
        schema = self.schema
        for number, name in enumerate(schema.optional):
            if name not in schema.inputs:
                self._problem(("optional", number), f"{name!r} is not an input; declare it under `inputs:` as well")
        sections: dict[str, str] = {}
        for section in _KINDS:
            for name in getattr(schema, section):
                if name in sections or (name == EXAMPLES and schema.examples is not None):
                    other = _KINDS[sections[name]] if name in sections else "the examples"
                    self._problem((section, name), f"{name!r} is both {other} and {_KINDS[section]}")
                sections[name] = section

    def _read_blocks(self, folders: Sequence[Path]) -> None:
        for name, block_name in self.schema.include.items():
            block = find_block(block_name, self.schema.language, folders)
            self.block_paths += block.candidates
            if block.text is None:
                self._problem(("include", name), block.problem)
            self.blocks[name] = block.text or ""

    def _message(self, number: int, message: MessageSchema) -> MessageTemplate:
        schema, loc = self.schema, ("messages", number)
        if message.role in ("history", "examples"):
            if message.content is not None:
                self._problem(loc, f"{_ENTRY[message.role]} must have no content")
            if message.role == "history":
                self.used_names.add("history")
                if schema.inputs.get("history") != "history":
                    self._problem(loc, "declare `history: history` under inputs")
            else:
                self._add_example_location(loc)
            return MessageTemplate(message.role)
        if message.content is None:
            self._problem(loc, f"a message with the role {message.role} needs content")
        parts: list[Part] = []
        for index, part in enumerate(message.content or ()):
            parts += self._part(part, (*loc, "content", index))
        return MessageTemplate(message.role, merge_texts(parts))

    def _part(self, part: PartSchema, loc: _Location) -> tuple[Part, ...]:
        schema = self.schema
        allowed = {name for name, kind in schema.inputs.items() if kind != "history"}
        allowed |= {*schema.soft_slots, *schema.include}
        if schema.examples is not None:
            allowed.add(EXAMPLES)
        pieces = self._pieces(part.text, (*loc, "text"), allowed)
        for name in slot_names(part.text):
            self.used_names.add(name)
            if name in schema.soft_slots:
                self.soft_slots.append(name)
                if part.condition is not None:
                    self._problem(loc, f"the soft slot {{{name}}} must be unconditional; move it out of `if`")
            if name == EXAMPLES and schema.examples is not None:
                self._add_example_location(loc)
            if name in schema.optional and schema.inputs.get(name) == "text" and part.condition != name:
                self._problem(
                    (*loc, "text"), f"the optional input {{{name}}} is used outside of a part with `if: {name}`"
                )
        filled = merge_texts(self.blocks.get(p.name, p) if isinstance(p, Slot) else p for p in pieces)
        if part.condition is None:
            return filled
        self.used_names.add(part.condition)
        if part.condition not in schema.optional:
            hint = "list it under `optional:`" if part.condition in schema.inputs else "declare it under `inputs:`"
            self._problem((*loc, "if"), f"`if: {part.condition}` is not an optional input; {hint}")
        return (Conditional(part.condition, tuple(p for p in filled if not isinstance(p, Conditional))),)

    def _pieces(self, text: str, loc: _Location, allowed: Collection[str]) -> tuple[Piece, ...]:
        parsed: tuple[Piece, ...] = ()
        try:
            parsed = parse_pieces(text)
        except ValueError as error:
            self._problem(loc, str(error))
        for name in slot_names(text):
            if name not in allowed:
                declared = ", ".join(sorted(allowed)) or "(none)"
                self._problem(loc, f"unknown slot {{{name}}}; declared are {declared}")
        return parsed

    def _add_example_location(self, loc: _Location) -> None:
        self.example_locations.append(loc)
        if self.schema.examples is None:
            self._problem(loc, "there are no examples; add some under `examples:`")

    def _few_shot(self) -> FewShot | None:
        examples = self.schema.examples
        if examples is None:
            return None
        text = () if examples.text is None else self._pieces(examples.text, ("examples", "text"), EXAMPLE_FIELDS)
        if not examples.fixed and not examples.similar:
            self._problem(("examples",), "no examples; add some under `fixed:`, or a number under `similar:`")
        if len(self.example_locations) != 1:
            where = "not used" if not self.example_locations else "used twice"
            self._problem(
                ("examples",), f"the examples are {where}; add one entry `role: examples`, or the slot {{examples}}"
            )
        in_text = any(len(loc) > 2 for loc in self.example_locations)
        if in_text and examples.text is None:
            self._problem(("examples",), "the slot {examples} needs `text:`, the format of one example")
        if examples.text is not None and self.example_locations and not in_text:
            self._problem(("examples", "text"), "`text` is for the slot {examples}, which no message has")
        fixed = tuple(Example(e.question, e.answer) for e in examples.fixed)
        return FewShot(fixed, examples.similar, examples.tokens, text)

    def _check_template(self, messages: Sequence[MessageTemplate]) -> None:
        schema = self.schema
        declared = {name: section for section in _KINDS for name in getattr(schema, section)}
        for name in sorted(set(declared) - self.used_names):
            self._problem((declared[name], name), f"{name!r} is declared but not used in any message")
        for name in sorted({s for s in self.soft_slots if self.soft_slots.count(s) > 1}):
            self._problem(("soft_slots", name), f"the soft slot {name!r} is used twice")
        if messages[0].role != "system":
            # Many chat templates add their own system message if there is none.
            self._problem(("messages", 0), "the first message must have the role system")


_ENTRY = {"history": "a history entry", "examples": "an examples entry"}
_KINDS = {"inputs": "an input", "soft_slots": "a soft slot", "include": "an included block"}
