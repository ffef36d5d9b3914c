"""A foreign chat template cannot run without end or fill the memory, and others give Transformers' own text."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable

import pytest

from prompts import Message, RenderedPrompt, TextSegment
from soft_prompt import Backbone, BackboneError
from soft_prompt.tokens.limited_rendering import SECONDS, LimitedRenderer, RenderError, RenderLimitError, render_chat
from soft_prompt.tokens.plain_chat_template import is_plain
from tests.support.tiny_backbones import CHATML, make_tokenizer

# Left out of `make check`: it waits for time limits.
pytestmark = pytest.mark.heavy

PROMPT = RenderedPrompt((Message("system", (TextSegment("a"),)), Message("user", (TextSegment("b"),))))
HOSTILE = {
    "long range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "large power": "{{ 10 ** (10 ** 9) % 7 }}",
    "long repetition": "{{ 'x' * 10 ** 10 }}",
    "doubled text": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "wide padding": "{{ 'x'.center(10 ** 10) }}",
    "nested lists": "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
    "{{ n.s | tojson }}",
    "long text": "{{ 'x' * 10 ** 7 }}",
    "raised error": "{{ raise_exception('no') }}",
}


# Each waits for a limit; the others are left to `make test-all`.
SAMPLE = ("nested loops", "doubled text", "raised error")


@pytest.mark.parametrize(
    "template",
    [pytest.param(text, id=name, marks=() if name in SAMPLE else pytest.mark.slow) for name, text in HOSTILE.items()],
)
def test_a_hostile_template_ends_with_an_error(make_tiny_backbone: Callable[..., Backbone], template: str) -> None:
    backbone = make_tiny_backbone()
    backbone.tokenizer.chat_template = template
    started = time.monotonic()
    with pytest.raises(BackboneError, match="the chat template of the backbone 'tiny'"):
        backbone.control_texts(PROMPT)
    # The process that renders starts within two seconds.
    assert time.monotonic() - started < SECONDS + 15
    # The next template is rendered.
    backbone.tokenizer.chat_template = CHATML
    assert backbone.control_texts(PROMPT)[0][0] == "<|im_start|>system\n"


def test_the_texts_are_those_of_transformers(tiny_backbone: Backbone) -> None:
    messages = [{"role": "user", "content": "ä 的\n"}, {"role": "assistant", "content": "{{ 1 }}"}]
    tools = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]
    tokenizer, renderer = tiny_backbone.tokenizer, LimitedRenderer()
    for template in (
        CHATML,
        "{{ bos_token }}{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{{ messages }}"
        "{{ add_generation_prompt }}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}",
    ):
        for given in ([], tools):
            expected = tokenizer.apply_chat_template(
                messages, tools=given or None, chat_template=template, tokenize=False, add_generation_prompt=True
            )
            settings = {"tools": given or None, "add_generation_prompt": True, **tokenizer.special_tokens_map}
            assert renderer.render(template, messages, settings) == expected
    for template in ("", "{% set x = 1 %}"):
        tokenizer = make_tokenizer()
        tokenizer.chat_template = CHATML + template
        assert is_plain(CHATML + template) == (not template)
        assert render_chat(tokenizer, messages) == tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )


def test_an_error_of_the_template_says_what_it_said() -> None:
    renderer = LimitedRenderer()
    with pytest.raises(RenderError, match="only users"):
        renderer.render("{{ raise_exception('only users') }}", [], {})
    assert renderer.render("{{ 1 + 1 }}", [], {}) == "2"


def test_a_child_that_was_ended_is_forgotten() -> None:
    renderer = LimitedRenderer(seconds=0.2)
    with pytest.raises(RenderLimitError):
        renderer.render(HOSTILE["nested loops"], [], {})
    children = [one for one in gc.get_objects() if type(one) is subprocess.Popen and "render_worker" in str(one.args)]
    assert not [one for one in children if one.returncode is not None]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages | reverse %}{{ m.content }}{% endfor %}", "changes the order of messages"),
        ("{{ messages[0].content }}", "does not write the user message exactly once"),
        ("{% for m in messages + messages %}{{ m.content }}{% endfor %}", "does not write the system message exactly"),
    ],
)
def test_the_error_says_what_a_template_does_to_the_messages(
    make_tiny_backbone: Callable[..., Backbone], template: str, problem: str
) -> None:
    backbone = make_tiny_backbone()
    backbone.tokenizer.chat_template = template
    with pytest.raises(BackboneError, match=problem):
        backbone.control_texts(PROMPT)


PLAIN = {
    "chatml": CHATML,
    "first turn": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helper<|im_end|>\\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role']}}{% endfor %}",
    "two loops": "{% for message in messages %}x{% endfor %}{% for message in messages[1:] %}y{% endfor %}",
    "first message": "{{ messages[0]['content'] }}{% if tools %}x{% endif %}",
    "grouped": '{% for message in messages %}{% if (message.role == "user") %}{{- message.content | trim -}}{% endif %}'
    "{% endfor %}",
}
NOT_PLAIN = {
    **HOSTILE,
    "end of a tag in a text": "{{ '}}' * 10 ** 10 }}",
    "comment": "{# {{ #}{{ 'x' * 9 }}",
    "open tag": "{{ 'x' * 9 ",
    "long number": "{% for message in messages %}{{ 99999 }}{% endfor %}",
    "method": "{{ message.content('x') }}",
    "called item": "{{ messages[0]('x') }}",
    "filter": "{{ messages | list }}",
    "three loops": "{% for message in messages %}{% for message in messages %}{% for message in messages %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loops within loops": "{% for message in messages %}{% for message in messages %}x{% endfor %}{% endfor %}",
    "loop over joined lists": "{% for message in messages + messages %}x{% endfor %}",
    "every message for every message": "{% for message in messages %}{{ messages }}{% endfor %}",
    "a slice for every message": "{% for message in messages %}{{ messages[0:] }}{% endfor %}",
    "all tools for every message": "{% for message in messages %}{{ tools }}{% endfor %}",
    "assignment": "{% set content = 'x' %}",
    "many open tags": "{%" * 10**6,
}


@pytest.mark.parametrize("template", PLAIN.values(), ids=PLAIN)
def test_plain_templates_are_rendered_here(template: str) -> None:
    assert is_plain(template)


@pytest.mark.parametrize("template", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_may_run_for_long_is_not_plain(template: str) -> None:
    assert not is_plain(template)


@pytest.mark.parametrize("end", ["", "{{ strftime_now('%N') }}"], ids=["always the same", "time"])
def test_conversations_of_the_same_form_are_rendered_once(
    make_tiny_backbone: Callable[..., Backbone], end: str
) -> None:
    backbone = make_tiny_backbone()
    backbone.tokenizer.chat_template = CHATML + end
    rendered: list[str] = []
    apply = backbone.tokenizer.apply_chat_template

    def counted(*arguments: object, **settings: object) -> str:
        rendered.append("once")
        return str(apply(*arguments, **settings))

    backbone.tokenizer.apply_chat_template = counted
    first, contents = backbone.control_texts(PROMPT)
    other = RenderedPrompt((Message("system", (TextSegment("c"),)), Message("user", (TextSegment("d"),))))
    again, other_contents = backbone.control_texts(other)
    assert first == again
    assert (contents, other_contents) == (list(PROMPT.messages), list(other.messages))
    # A template that writes the time is not plain, and is rendered in the child process.
    assert len(rendered) == (0 if end else 1)
    longer, _ = backbone.control_texts(RenderedPrompt((*PROMPT.messages, *PROMPT.messages)))
    assert len(longer) == 5
    backbone.tokenizer.chat_template = CHATML.replace("<|im_start|>", "<s>") + end
    assert backbone.control_texts(PROMPT)[0] != first
