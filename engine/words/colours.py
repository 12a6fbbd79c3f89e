"""Words for colours, which are looked for in pixels: networks that learned to name objects hardly tell them apart."""

import numpy as np

from engine.words.lexicon import Lexicon
from engine.words.vectors import STOP_WORDS, Array, normalise, unit

# The chromatic ones of the eleven basic colour terms, without brown (Berlin and Kay 1969). Black, white, grey and brown
# are named in captions for what is told apart by them, dogs and horses, which BiAM learns better than pixels tell.
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
_ALSO = {"crimson": "red", "scarlet": "red", "turquoise": "blue", "azure": "blue", "violet": "purple"}
_SHADES = frozenset({"bright", "dark", "deep", "light", "pale", "vivid"})
_OTHERS = frozenset({"orange", "violet"})  # name something else as well


class Coloured(Lexicon):
    """A lexicon whose vectors have a number more for each of COLOURS; those of colours are 1, all others 0.

    "red" alone is looked for by its colour, "red car" by colour and meaning in the same place: the two halves of a unit
    vector weigh the same.
    """

    @property
    def dim(self) -> int:
        """d, numbers in a vector."""
        return super().dim + len(COLOURS)

    def vector(self, phrase: str) -> Array:
        """The unit vector (d,) of a word or phrase; raises UnknownWord."""
        colour, rest = self._split_colour(phrase)
        colours = np.array([name == colour for name in COLOURS], np.float32)
        meant = super().vector(rest) if rest else np.zeros(super().dim, np.float32)
        return unit(np.concatenate([meant, colours]))

    def is_phrase(self, text: str) -> bool:
        """Whether several words are one concept: an entry, or a colour and what has it."""
        colour, rest = self._split_colour(text)
        if colour is None or " " not in text:
            return super().is_phrase(text)
        return not rest or rest == text or self._is_thing(rest)

    def _is_thing(self, text: str) -> bool:
        single = " " not in text and text not in STOP_WORDS and text not in COLOURS and text not in _ALSO
        return self.knows(text) if single else super().is_phrase(text)

    def _split_colour(self, phrase: str) -> tuple[str | None, str]:
        """The colour that a phrase begins with, and the rest of it, which may be all or nothing.

        A "red panda" is an entry of its own and no matter of colour.
        """
        text = normalise(phrase)
        first, *rest = text.split() or [""]
        if rest and first in _SHADES:
            first, *rest = rest
        colour = _ALSO.get(first, first)
        if colour not in COLOURS or super().is_phrase(text):
            return None, phrase
        return colour, " ".join(rest) or (text if first in _OTHERS else "")
