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
from prompts.load import TEMPLATES, find_template, load_template
from prompts.segments import (
    Message,
    PassageInput,
    PassageSegment,
    RenderedPrompt,
    Segment,
    SoftSegment,
    TextSegment,
    ToolCall,
    Turn,
)
from prompts.template import Slot, Template
from prompts.tools import introduced, tools_as_text

__all__ = [
    "TEMPLATES",
    "Message",
    "MissingInputError",
    "PassageInput",
    "PassageSegment",
    "PromptError",
    "RenderedPrompt",
    "Segment",
    "Slot",
    "SoftSegment",
    "Template",
    "TemplateError",
    "TextSegment",
    "ToolCall",
    "Turn",
    "UnknownInputError",
    "UnknownTemplateError",
    "find_template",
    "introduced",
    "load_template",
    "tools_as_text",
]
