"""Prompt templates as files: loaded, checked, and rendered to segments. Plain Python, usable alone.

>>> from prompts import find_template, load_template
>>> template = load_template(find_template("closed-book"))
>>> prompt = template.render({"question": "Is {this} a slot?", "history": []})
>>> prompt.messages[-1].text
'Is {this} a slot?'
"""

from prompts.errors import (
    MissingInputError,
    PromptError,
    TemplateError,
    UnknownInputError,
    UnknownTemplateError,
)
from prompts.load import (
    TEMPLATES,
    FoundTemplate,
    check_folder,
    check_template,
    find_template,
    list_templates,
    load_template,
)
from prompts.pieces import Slot
from prompts.segments import (
    Example,
    Message,
    PassageInput,
    PassageSegment,
    RenderedPrompt,
    Segment,
    SoftSegment,
    TextSegment,
    Turn,
)
from prompts.source import Problem
from prompts.template import FewShot, Template

__all__ = [
    "TEMPLATES",
    "Example",
    "FewShot",
    "FoundTemplate",
    "Message",
    "MissingInputError",
    "PassageInput",
    "PassageSegment",
    "Problem",
    "PromptError",
    "RenderedPrompt",
    "Segment",
    "Slot",
    "SoftSegment",
    "Template",
    "TemplateError",
    "TextSegment",
    "Turn",
    "UnknownInputError",
    "UnknownTemplateError",
    "check_folder",
    "check_template",
    "find_template",
    "list_templates",
    "load_template",
]
