from .errors import MissingInputError, PromptError, TemplateError, UnknownInputError, UnknownTemplateError
from .load import TEMPLATES, TemplateEntry, check_folder, check_template, find_template, list_templates, load_template
from .pieces import Slot
from .segments import (
    Example,
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
from .source import Problem
from .template import FewShot, Template
from .template_file import TemplateFile, TextTwins
from .tools import prepend_system_message, tools_as_text

__all__ = [
    "TEMPLATES",
    "Example",
    "FewShot",
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
    "TemplateEntry",
    "TemplateError",
    "TemplateFile",
    "TextSegment",
    "TextTwins",
    "ToolCall",
    "Turn",
    "UnknownInputError",
    "UnknownTemplateError",
    "check_folder",
    "check_template",
    "find_template",
    "list_templates",
    "load_template",
    "prepend_system_message",
    "tools_as_text",
]
