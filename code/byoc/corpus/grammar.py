"""Constructions: each draws words and gives a minimal pair, one sentence acceptable, one not.

No word may betray the label. Either both members of a pair hold the same words in another order,
or acceptability is the exclusive or of two features that are each drawn evenly (the number of the
subject and of the verb, the class of the verb and the presence of an object), which leaves every
single word as frequent in acceptable as in unacceptable sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from byoc.corpus import words

T = TypeVar("T")
Pair = tuple[str, str]
"""(acceptable, unacceptable)"""


class Draw:
    """Draws words (remembered: they name the filled template) and features (not remembered).

    Only ``Random.random`` is used: it is the one method whose numbers for a seed Python promises
    to keep from version to version.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.words: list[object] = []

    def feature(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def flip(self) -> bool:
        return self._random.random() < 0.5

    def word(self, options: Sequence[T]) -> T:
        choice = self.feature([option for option in options if option not in self.words])
        self.words.append(choice)
        return choice


def _number(draw: Draw) -> int:
    """0 singular, 1 plural: the index of a form."""
    return int(draw.flip())


def _noun(draw: Draw, nouns: Sequence[tuple[str, str]]) -> str:
    return draw.word(nouns)[_number(draw)]


def _phrase(draw: Draw, nouns: Sequence[tuple[str, str]], number: int) -> str:
    """The key, this key, the keys, these keys: half of the phrases show their number twice."""
    determiner = draw.feature((("the", "the"), ("this", "these")))[number]
    return f"{determiner} {draw.word(nouns)[number]}"


def _pair(first: str, second: str, first_is_acceptable: bool = True) -> Pair:
    return (first, second) if first_is_acceptable else (second, first)


def adjacent_copula(draw: Draw) -> Pair:
    """The key is/are old in winter: what the attractors' constructions are learned from."""
    number, tense = _number(draw), draw.feature((("is", "are"), ("was", "were")))
    subject, adjective = _phrase(draw, words.THINGS, number), draw.word(words.ADJECTIVES)
    time = draw.word(words.TIMES)
    return (
        f"{subject} {tense[number]} {adjective} {time}.",
        f"{subject} {tense[1 - number]} {adjective} {time}.",
    )


def adjacent_verb(draw: Draw) -> Pair:
    """The sailor often sings/sing every morning."""
    number = _number(draw)
    phrase = f"{_phrase(draw, words.PEOPLE, number)} {draw.word(words.FREQUENCY)}"
    verb, time = draw.word(words.PRESENT), draw.word(words.TIMES)
    return f"{phrase} {verb[number]} {time}.", f"{phrase} {verb[1 - number]} {time}."


def copula_agreement(draw: Draw) -> Pair:
    """The key near the cabinets is/are old: the nearer noun attracts, the subject decides."""
    number, tense = _number(draw), draw.feature((("is", "are"), ("was", "were")))
    subject, other = _phrase(draw, words.THINGS, number), _phrase(draw, words.THINGS, _number(draw))
    phrase = f"{subject} {draw.word(words.PREPOSITIONS)} {other}"
    adjective = draw.word(words.ADJECTIVES)
    return (
        f"{phrase} {tense[number]} {adjective}.",
        f"{phrase} {tense[1 - number]} {adjective}.",
    )


def clause_agreement(draw: Draw) -> Pair:
    """The key that the sailors took was/were old."""
    number = _number(draw)
    subject, other = _phrase(draw, words.THINGS, number), _phrase(draw, words.PEOPLE, _number(draw))
    phrase = f"{subject} that {other} {draw.word(words.TRANSITIVE)[1]}"
    adjective, tense = draw.word(words.ADJECTIVES), draw.feature((("is", "are"), ("was", "were")))
    return (
        f"{phrase} {tense[number]} {adjective}.",
        f"{phrase} {tense[1 - number]} {adjective}.",
    )


def verb_agreement(draw: Draw) -> Pair:
    """The sailor beside the nurses sings/sing every morning."""
    number = _number(draw)
    subject, other = _phrase(draw, words.PEOPLE, number), _phrase(draw, words.PEOPLE, _number(draw))
    phrase = f"{subject} {draw.word(words.PREPOSITIONS)} {other}"
    verb, time = draw.word(words.PRESENT), draw.word(words.TIMES)
    return f"{phrase} {verb[number]} {time}.", f"{phrase} {verb[1 - number]} {time}."


def determiner_agreement(draw: Draw) -> Pair:
    """The poets took this/these key."""
    number = _number(draw)
    phrase = f"the {_noun(draw, words.PEOPLE)} {draw.word(words.TRANSITIVE)[1]}"
    thing, demonstrative = draw.word(words.THINGS)[number], ("this", "these")
    time = draw.word(words.TIMES)
    return (
        f"{phrase} {demonstrative[number]} {thing} {time}.",
        f"{phrase} {demonstrative[1 - number]} {thing} {time}.",
    )


def adjective_order(draw: Draw) -> Pair:
    """The old nurse took the grey key; *the old nurse took the key grey."""
    people, things = _noun(draw, words.PEOPLE), _noun(draw, words.THINGS)
    first, second = draw.word(words.ADJECTIVES), draw.word(words.ADJECTIVES)
    verb = draw.word(words.TRANSITIVE)[1]
    wrong = (
        f"the {people} {first} {verb} the {second} {things}."
        if draw.flip()
        else f"the {first} {people} {verb} the {things} {second}."
    )
    return f"the {first} {people} {verb} the {second} {things}.", wrong


def determiner_order(draw: Draw) -> Pair:
    """The nurse took the key; *nurse the took the key."""
    people, things = _noun(draw, words.PEOPLE), _noun(draw, words.THINGS)
    verb, time = draw.word(words.TRANSITIVE)[1], draw.word(words.TIMES)
    wrong = (
        f"{people} the {verb} the {things} {time}."
        if draw.flip()
        else f"the {people} {verb} {things} the {time}."
    )
    return f"the {people} {verb} the {things} {time}.", wrong


def adverb_order(draw: Draw) -> Pair:
    """The nurse quickly took the key; *the nurse took quickly the key."""
    people, things = _noun(draw, words.PEOPLE), _noun(draw, words.THINGS)
    verb, adverb = draw.word(words.TRANSITIVE)[1], draw.word(words.ADVERBS)
    good = (
        f"the {people} {adverb} {verb} the {things}."
        if draw.flip()
        else f"the {people} {verb} the {things} {adverb}."
    )
    return good, f"the {people} {verb} {adverb} the {things}."


def auxiliary_order(draw: Draw) -> Pair:
    """The nurse must have taken the key; *the nurse have must taken the key."""
    people, things = _noun(draw, words.PEOPLE), _noun(draw, words.THINGS)
    modal, verb = draw.word(words.MODALS), draw.word(words.TRANSITIVE)
    if draw.flip():
        return (
            f"the {people} {modal} have {verb[2]} the {things}.",
            f"the {people} have {modal} {verb[2]} the {things}.",
        )
    return (
        f"the {people} {modal} not {verb[0]} the {things}.",
        f"the {people} not {modal} {verb[0]} the {things}.",
    )


def transitivity(draw: Draw) -> Pair:
    """The nurse took *(the key) every morning; the nurse slept (*the key) every morning."""
    transitive = draw.flip()
    people, things = _noun(draw, words.PEOPLE), _noun(draw, words.THINGS)
    verb = draw.word(words.TRANSITIVE if transitive else words.INTRANSITIVE)[1]
    time = draw.word(words.TIMES)
    return _pair(
        f"the {people} {verb} the {things} {time}.", f"the {people} {verb} {time}.", transitive
    )


def clause_complement(draw: Draw) -> Pair:
    """The nurse told the poet that …; *the nurse said the poet that …; and without the person."""
    person = draw.flip()
    phrase = f"the {_noun(draw, words.PEOPLE)} {draw.word(words.TELL if person else words.SAY)}"
    hearer = _noun(draw, words.PEOPLE)
    clause = f"that the {_noun(draw, words.PEOPLE)} {draw.word(words.INTRANSITIVE)[1]}."
    return _pair(f"{phrase} the {hearer} {clause}", f"{phrase} {clause}", person)


def verb_complement(draw: Draw) -> Pair:
    """The nurse wanted to take the key; *the nurse wanted taking the key; enjoyed: the reverse."""
    infinitive = draw.flip()
    phrase = (
        f"the {_noun(draw, words.PEOPLE)} {draw.word(words.WANT if infinitive else words.ENJOY)}"
    )
    verb, things = draw.word(words.TRANSITIVE), _noun(draw, words.THINGS)
    return _pair(
        f"{phrase} to {verb[0]} the {things}.", f"{phrase} {verb[3]} the {things}.", infinitive
    )


def question_inversion(draw: Draw) -> Pair:
    """What must the nurse take? *What the nurse must take?"""
    modal, people = draw.word(words.MODALS), _noun(draw, words.PEOPLE)
    verb, time = draw.word(words.TRANSITIVE)[0], draw.word(words.TIMES)
    return (
        f"what {modal} the {people} {verb} {time}?",
        f"what the {people} {modal} {verb} {time}?",
    )


def question_gap(draw: Draw) -> Pair:
    """What did the nurse take (*the key)? Did the nurse take *(the key)?"""
    wh = draw.flip()
    modal, people = draw.word(words.MODALS), _noun(draw, words.PEOPLE)
    verb, things = draw.word(words.TRANSITIVE)[0], _noun(draw, words.THINGS)
    time = draw.word(words.TIMES)
    question = f"what {modal}" if wh else modal
    return _pair(
        f"{question} the {people} {verb} {time}?",
        f"{question} the {people} {verb} the {things} {time}?",
        wh,
    )


def embedded_question(draw: Draw) -> Pair:
    """The poet knew what the nurse must take; *the poet knew what must the nurse take."""
    knower = _noun(draw, words.PEOPLE)
    modal, people = draw.word(words.MODALS), _noun(draw, words.PEOPLE)
    verb = draw.word(words.TRANSITIVE)[0]
    know = draw.word(("knew", "forgot", "learned"))
    return (
        f"the {knower} {know} what the {people} {modal} {verb}.",
        f"the {knower} {know} what {modal} the {people} {verb}.",
    )


def fronting(draw: Draw) -> Pair:
    """Never must the nurse take the key; *never the nurse must take the key; often: the reverse."""
    negative = draw.flip()
    adverb = draw.word(("never", "rarely", "seldom") if negative else words.FREQUENCY)
    modal, people = draw.word(words.MODALS), _noun(draw, words.PEOPLE)
    verb, things = draw.word(words.TRANSITIVE)[0], _noun(draw, words.THINGS)
    return _pair(
        f"{adverb} {modal} the {people} {verb} the {things}.",
        f"{adverb} the {people} {modal} {verb} the {things}.",
        negative,
    )


def topic(draw: Draw) -> Pair:
    """The key, the nurse took; *the key, took the nurse."""
    things, people = _noun(draw, words.THINGS), _noun(draw, words.PEOPLE)
    verb, time = draw.word(words.TRANSITIVE)[1], draw.word(words.TIMES)
    return (
        f"the {things}, the {people} {verb} {time}.",
        f"the {things}, {verb} the {people} {time}.",
    )


CONSTRUCTIONS: tuple[Callable[[Draw], Pair], ...] = (
    adjacent_copula,
    adjacent_verb,
    copula_agreement,
    clause_agreement,
    verb_agreement,
    determiner_agreement,
    adjective_order,
    determiner_order,
    adverb_order,
    auxiliary_order,
    transitivity,
    clause_complement,
    verb_complement,
    question_inversion,
    question_gap,
    embedded_question,
    fronting,
    topic,
)
