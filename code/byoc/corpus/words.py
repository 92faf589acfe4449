"""The words of the grammar, with the forms and the classes that the constructions need."""

from __future__ import annotations


def _split(text: str) -> list[str]:
    """A word list reads better as prose than as a column of quoted strings."""
    return text.split()


def _forms(text: str) -> tuple[tuple[str, str, str, str], ...]:
    """``base/past/participle/-ing`` of each verb."""
    verbs = [forms.split("/") for forms in text.split()]
    return tuple((base, past, participle, ing) for base, past, participle, ing in verbs)


PEOPLE = tuple(
    (noun, noun + "s")
    for noun in _split(
        "teacher doctor student pilot neighbour farmer singer lawyer painter guard driver baker "
        "nurse poet sailor tailor"
    )
)
"""(singular, plural)"""

THINGS = tuple(
    (noun, noun + "s")
    for noun in _split(
        "key cabinet letter lantern picture bottle lamp map basket window blanket ticket mirror "
        "drawer ladder kettle"
    )
)
"""(singular, plural)"""

PREPOSITIONS = ("near", "behind", "beside", "above", "below")

ADJECTIVES = ("old", "clean", "grey", "heavy", "famous", "strange", "small", "quiet")

TRANSITIVE = _forms(
    "carry/carried/carried/carrying admire/admired/admired/admiring find/found/found/finding "
    "take/took/taken/taking fix/fixed/fixed/fixing choose/chose/chosen/choosing "
    "borrow/borrowed/borrowed/borrowing hide/hid/hidden/hiding "
    "destroy/destroyed/destroyed/destroying mention/mentioned/mentioned/mentioning"
)
"""(base, past, participle, -ing) of verbs that must have an object"""

INTRANSITIVE = _forms(
    "sleep/slept/slept/sleeping arrive/arrived/arrived/arriving "
    "sneeze/sneezed/sneezed/sneezing smile/smiled/smiled/smiling "
    "vanish/vanished/vanished/vanishing tremble/trembled/trembled/trembling "
    "faint/fainted/fainted/fainting yawn/yawned/yawned/yawning "
    "giggle/giggled/giggled/giggling wait/waited/waited/waiting"
)
"""(base, past, participle, -ing) of verbs that can have no object"""

PRESENT = tuple(
    (verb + "s", verb) for verb in _split("sing work travel laugh complain arrive sleep smile")
)
"""(with a singular subject, with a plural subject)"""

SAY = ("said", "thought", "hoped", "claimed", "complained")
"""take a clause and no person"""

TELL = ("told", "convinced", "reminded", "warned", "informed")
"""take a person and a clause"""

WANT = ("wanted", "decided", "agreed", "refused", "hoped")
"""take an infinitive"""

ENJOY = ("enjoyed", "avoided", "finished", "kept", "stopped")
"""take an -ing form"""

ADVERBS = ("quickly", "quietly", "secretly", "carefully", "finally", "suddenly")

MODALS = ("can", "will", "must", "should")

TIMES = ("every morning", "every evening", "in winter", "after lunch", "on Sundays")

FREQUENCY = ("often", "usually", "always")
