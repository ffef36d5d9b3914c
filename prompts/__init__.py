"""Prompt templates as YAML files: load, check and render them to segments. Plain Python, without sibling imports.

>>> from prompts import find_template, load_template
>>> template = load_template(find_template("closed-book"))
>>> prompt = template.render({"question": "Is {this} a slot?", "history": []})
>>> prompt.messages[-1].text
'Is {this} a slot?'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
