"""The words of `stream`: its relations, and the closed list for a model of a hundred tokens.

The task source writes with them, and the model `tiny` knows them.
"""

from __future__ import annotations

from atommem_cli.core.stream_facts import UNKNOWN

RELATIONS = ("home", "boss", "pet", "friend", "job", "tool")
"""In the order in which the option `relations` takes them."""
PERSONAL = frozenset({"boss", "friend"})
"""Relations whose values are people: the links of multi-hop questions."""

Pair = tuple[str, str]
"""Two people whose names are easily confused."""

_NAMES = (
    "mara/mira joren/joran tilda/tilde oskar/oskan selin/selim bruno/bruna edda/edna falko/falka hanno/hanna "
    "kaspar/kasper livia/lidia nelo/nela"
)
_VALUES = {
    "home": "velt dorn quill ashby corva drell fenn garth holm istra kelso lorne marn nesk ostro",
    "pet": "fox owl cat dog hen goat mole crow toad hare",
    "job": "baker smith tailor miner pilot nurse judge clerk guard cook",
    "tool": "axe saw rope lamp drill spade brush hook net bell",
}
_NOISE = "rain snow wind fog sun/falls rests hangs/over near/the/hill river road field wood lake"

PAIRS: list[Pair] = [(first, second) for first, _, second in (pair.partition("/") for pair in _NAMES.split())]
"""Everybody of the closed style."""
VALUES = {relation: words.split() for relation, words in _VALUES.items()}
"""Every value that its impersonal relations may take."""
NOISE = [words.split() for words in _NOISE.split("/")]
"""Of sentences about nobody, the choice for each place."""
LAST_DAY = 9
"""That it can name."""

VOCABULARY = tuple(
    sorted(
        {name for pair in PAIRS for name in pair}
        | {word for words in (*VALUES.values(), *NOISE, RELATIONS) for word in words}
        | {str(day) for day in range(1, LAST_DAY + 1)}
        | {UNKNOWN, "until", "day", "now", "not", "but", "no", ".", "?"}
    )
)
"""Every word of its documents, questions and answers, sorted; words are separated by one space."""
