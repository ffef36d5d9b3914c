"""Questions worded by rule: spans, statements, whole sentences, pronouns and Chinese."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgraft.jobs.questions.chinese import ask_about_chinese_sentence, ask_about_chinese_span
from softgraft.jobs.questions.patterns import ask_about_row, ask_about_sentence
from softgraft.jobs.questions.pronouns import as_the_reader
from softgraft.jobs.questions.spans import answer_spans
from softgraft.jobs.questions.wording import ask_about_span


@pytest.mark.parametrize(
    ("sentence", "spans"),
    [
        ("It costs £1,200.50, or 3.5% a year.", [("amount", "£1,200.50"), ("percent", "3.5%")]),
        ("You can draw up to £300 within 45 days.", [("amount", "up to £300"), ("quantity", "45 days")]),
        ("We open from 9am to 4.30pm on 3 March 2024.", [("date", "from 9am to 4.30pm"), ("date", "3 March 2024")]),
        ("Run `git push --tags` at 5pm.", [("command", "git push --tags"), ("date", "5pm")]),
        ("Choose “Switch” for two accounts.", [("quoted", "Switch"), ("quantity", "two accounts")]),
        ("Write to the Greater Larkmoor Council.", [("name", "Greater Larkmoor Council")]),
        ("补办需要10元，至少等5个工作日。", [("amount", "10元"), ("quantity", "5个工作日")]),
        ("Nothing to see here.", []),
    ],
)  # fmt: skip
def test_spans_that_may_answer(sentence: str, spans: list[tuple[str, str]]) -> None:
    found = answer_spans(sentence)
    assert [(span.kind, span.full_text(sentence).removeprefix("至少等")) for span in found] == spans


@given(st.text(alphabet='ab £%19.,:-\n|`"年月元个的是 ifwecostyou?', max_size=120))
def test_spans_of_any_text_do_not_overlap_and_are_inside(text: str) -> None:
    spans = answer_spans(text)
    assert all(0 <= s.full_start <= s.start < s.end <= len(text) for s in spans)
    assert all(first.end <= second.start for first, second in pairwise(spans))
    for span in spans:
        for worded in (ask_about_span(text, span), ask_about_chinese_span(text, span)):
            assert worded is None or all(answer.removeprefix("every ") in text for answer in worded.answers)


@pytest.mark.parametrize(
    ("sentence", "question", "answer", "reply"),
    [
        (
            "A photo debit card costs £7.50, paid when you order, and takes 10 working days to make.",
            "How much does a photo debit card cost?", "£7.50", "A photo debit card costs £7.50.",
        ),
        (
            "The reward is paid within 20 working days of your meeting the terms.",
            "Within how many working days of my meeting the terms is the reward paid?", "20 working days", None,
        ),
        (
            "If a payment is late, we charge £12, plus interest.",
            "How much do you charge if a payment is late?", "£12", "If a payment is late, we charge £12.",
        ),
        ("You can take out up to £250 a day abroad.", "How much a day can I take out abroad?", "up to £250", None),
        ("The feed updates every three hours.", "How often does the feed update?", "every three hours", None),
        ("We keep your chat history for 12 months.", "How long do you keep my chat history?", "12 months", None),
        ("The standard rate is 4.1%.", "What is the standard rate?", "4.1%", "The standard rate is 4.1%."),
        ("An eligibility check takes about 2 minutes.", "How long does an eligibility check take?",
         "about 2 minutes", None),
        ("The workshop starts at 2pm.", "What time does the workshop start?", "2pm", None),
    ],
)  # fmt: skip
def test_a_statement_becomes_a_question(sentence: str, question: str, answer: str, reply: str | None) -> None:
    [worded, *_] = [worded for span in answer_spans(sentence) if (worded := ask_about_span(sentence, span))]
    assert (worded.question, worded.answers[0]) == (question, answer)
    assert reply is None or worded.reply == reply


@pytest.mark.parametrize("between", [" and", ", paid when you order, and"])
def test_the_second_verb_takes_the_subject_of_the_first(between: str) -> None:
    sentence = f"A photo debit card costs £7.50{between} takes 10 working days to make."
    worded = ask_about_span(sentence, answer_spans(sentence)[1])
    assert worded is not None
    assert worded.question == "How long does a photo debit card take to make?"
    assert worded.reply == "A photo debit card takes 10 working days to make."


@pytest.mark.parametrize(
    "sentence",
    [
        "The first four months are free, and £5 after that.",
        "It costs £5.",
        "You can't draw more than £300.",
        "An overdraft is free of interest for the first four months.",
        "We ask for probate if the person held more than £30,000 with us.",
        "Those who apply pay £5.",
        "| Statement | £3 |",
        "On Sundays the line closes at 4pm.",
    ],
)
def test_sentences_that_cannot_stand_alone_give_no_question(sentence: str) -> None:
    assert [ask_about_span(sentence, span) for span in answer_spans(sentence)] == [None] * len(answer_spans(sentence))


def test_names_keep_their_capital_letter() -> None:
    sentence = "Hexley opens from 9.30am to 4.30pm."
    worded = ask_about_span(sentence, answer_spans(sentence)[0], frozenset({"branch"}))
    assert worded is not None
    assert worded.question == "When does Hexley open?"
    sentence = "Branches open from 9.30am to 4.30pm."
    worded = ask_about_span(sentence, answer_spans(sentence)[0], frozenset({"branches"}))
    assert worded is not None
    assert worded.question == "When do branches open?"


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("If you miss two payments, the plan ends.", "What happens if I miss two payments?", "the plan ends"),
        ("To register for the app, go to our website.", "How do I register for the app?", "go to our website"),
        ("You can pay in cash by using the machine.", "How can I pay in cash?", "by using the machine"),
        ("Use `--force` to overwrite the older files.", "What do I use to overwrite the older files?", "--force"),
        ("A joint account is an account of two.", "What is a joint account?", "an account of two"),
    ],
)  # fmt: skip
def test_the_form_of_a_sentence_gives_a_question(sentence: str, question: str, answer: str) -> None:
    [worded] = ask_about_sentence(sentence)
    assert (worded.question, worded.answers) == (question, (answer,))
    assert worded.reply == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "If this happens, call us at once today.",
        "If you miss a third, the account is closed.",
        "To begin with, pay 40 pounds at once.",
        "This is the reason for the change.",
        "To apply for a loan, every holder must agree.",
        "| If you miss two payments, the plan ends. |",
    ],
)
def test_other_sentences_give_none(sentence: str) -> None:
    assert ask_about_sentence(sentence) == []


def test_a_table_row_gives_a_question_per_cell() -> None:
    [worded] = ask_about_row(["Service", "Charge"], ["Duplicate statement", "£3"])
    assert (worded.question, worded.answers) == ("What is the charge for duplicate statement?", ("£3",))
    assert ask_about_row(["Service"], ["Duplicate statement", "£3"]) == []
    assert ask_about_row(["Year", "Limit"], ["second", "£3"]) == []


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("if we send you your card", "if you send me my card"),
        ("are you able to pay us", "am I able to pay you"),
        ("what you've bought from our shop", "what I've bought from your shop"),
        ("if it takes you past your limit", "if it takes me past my limit"),
        ("near you within 24 hours", "near me within 24 hours"),
    ],
)
def test_the_reader_asks(words: str, asked: str) -> None:
    assert as_the_reader(words) == asked


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("补办一张借记卡需要10元，三天内寄到。", "补办一张借记卡需要多少钱？", "10元"),
        ("挂失后5个工作日内寄出新卡。", "挂失后多少个工作日内寄出新卡？", "5个工作日"),
        ("储蓄账户的年利率为4.1%。", "储蓄账户的年利率为百分之多少？", "4.1%"),
        ("特斯拉于1943年1月7日去世。", "特斯拉于什么时候去世？", "1943年1月7日"),
    ],
)
def test_chinese_asks_where_the_answer_stood(sentence: str, question: str, answer: str) -> None:
    worded = ask_about_chinese_span(sentence, answer_spans(sentence)[0])
    assert worded is not None
    assert (worded.question, worded.answers[-1]) == (question, answer)


@pytest.mark.parametrize("sentence", ["从1073年到1074年。", "这需要10元。", "1871年，此时", "他们没有收取10元。"])
def test_chinese_clauses_that_cannot_stand_alone_give_none(sentence: str) -> None:
    assert [ask_about_chinese_span(sentence, s) for s in answer_spans(sentence)] == [None] * len(answer_spans(sentence))


def test_chinese_conditions_and_definitions() -> None:
    [condition] = ask_about_chinese_sentence("如果丢失借记卡，请立即拨打客服热线。")
    assert (condition.question, condition.answers) == ("如果丢失借记卡，会怎么样？", ("请立即拨打客服热线",))
    [definition] = ask_about_chinese_sentence("定期存款是一种到期才能支取的存款。")
    assert (definition.question, definition.answers) == ("什么是定期存款？", ("一种到期才能支取的存款",))
