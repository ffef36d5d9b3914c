"""Documents and questions of the domains that `serving.py` serves. Each domain has names that no other one has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

TOWNS = ("Alderton", "Birchley", "Cedarford", "Dogwell", "Elmstead", "Firbeck", "Ginkham", "Hazelby")
# Title of a document, its sentences, and questions that it answers. {town} and {a} to {d} are replaced.
_TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Library cards": (
        (
            "A library card of {town} costs {a} euros a year.",
            "With it, readers borrow up to {b} books at a time, and keep each of them for {c} days.",
            "A lost card is replaced at the front desk of {town} library for {d} euros, on the same day.",
        ),
        (
            "How much does a library card cost, and how many books can I borrow with it?",
            "What do I have to do if I lose my library card, and what does a new one cost?",
            "For how many days can I keep a book from the library?",
        ),
    ),
    "Swimming pool": (
        (
            "The swimming pool of {town} opens at {a} in the morning and closes at {b} in the evening.",
            "A ticket for adults costs {c} euros, and children under twelve swim free on Sundays.",
            "Lessons for beginners at {town} pool take place every Tuesday and last {d} minutes.",
        ),
        (
            "When does the swimming pool open in the morning and when does it close?",
            "What does a ticket for the swimming pool cost, and who swims free?",
            "On which day are the swimming lessons for beginners, and how long do they last?",
        ),
    ),
    "Parking permits": (
        (
            "A parking permit for residents of {town} costs {a} euros and is valid for {b} months.",
            "Applications go to the parking office of {town}, which answers within {c} working days.",
            "Guests of residents park with a day ticket for {d} euros.",
        ),
        (
            "What does a parking permit for residents cost, and for how long is it valid?",
            "Where do I apply for a parking permit, and how soon do I get an answer?",
            "How can guests of residents park, and what do they pay?",
        ),
    ),
    "Waste collection": (
        (
            "In {town}, paper is collected every {a} days and glass every {b} days.",
            "Bulky waste is picked up from the door for {c} euros, after a call to the depot of {town}.",
            "The depot takes up to {d} kilos of garden waste free of charge.",
        ),
        (
            "How often are paper and glass collected?",
            "How do I get rid of bulky waste, and what does it cost?",
            "How much garden waste does the depot take free of charge?",
        ),
    ),
    "Town hall rooms": (
        (
            "The large room of {town} town hall seats {a} people and costs {b} euros an evening.",
            "The small room is free for clubs of {town}, but they leave a deposit of {c} euros.",
            "Rooms are booked at least {d} days ahead at the reception.",
        ),
        (
            "How many people fit into the large room of the town hall, and what does it cost?",
            "What do clubs pay for the small room of the town hall?",
            "How many days ahead do I have to book a room of the town hall?",
        ),
    ),
    "Dog licences": (
        (
            "The owner of a dog in {town} pays {a} euros a year for its licence, and {b} euros for a second dog.",
            "Guide dogs need a licence too, but it costs nothing in {town}.",
            "A dog without its licence disc costs a fine of {c} euros, due within {d} days.",
        ),
        (
            "What does the licence for a dog cost, and what for a second dog?",
            "Does a guide dog need a licence, and what does it cost?",
            "What is the fine for a dog without its licence disc?",
        ),
    ),
}
QUESTIONS_PER_DOMAIN = sum(len(questions) for _, questions in _TOPICS.values())


@dataclass(frozen=True)
class Question:
    """A question to a domain, and the text of the documents that answer it, for systems without retrieval."""

    domain: int
    text: str
    evidence: str


def domain_name(domain: int) -> str:
    """Name of a domain, which is that of its town in lower case."""
    return TOWNS[domain].lower()


def documents(domain: int) -> dict[str, str]:
    """File name -> text of each document of a domain."""
    return {f"{domain_name(domain)}-{_slug(title)}.md": _document(domain, title) for title in _TOPICS}


def question(domain: int, number: int) -> Question:
    """A question to a domain. Successive numbers are of different documents."""
    titles = list(_TOPICS)
    place = number % len(titles)
    texts = _TOPICS[titles[place]][1]
    # About as much text as retrieval gives a model: the document, and another one before it.
    evidence = "\n".join(_document(domain, titles[(place + n) % len(titles)]) for n in (1, 0))
    return Question(domain, texts[number // len(titles) % len(texts)], evidence)


def foreign_names(text: str, domain: int) -> Sequence[str]:
    """Names of other domains' towns in a text."""
    return [town for number, town in enumerate(TOWNS) if number != domain and town in text]


def _document(domain: int, title: str) -> str:
    rng = random.Random(f"{domain} {title}")
    values = dict(zip("abcd", rng.sample(range(3, 90), 4), strict=True))
    sentences = [sentence.format(town=TOWNS[domain], **values) for sentence in _TOPICS[title][0]]
    return f"# {title} in {TOWNS[domain]}\n\n" + "\n\n".join(sentences) + "\n"


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
