"""Spellings: other forms of the same word, what sounds alike, and which script a word is written in."""

import re
import unicodedata

# What British and American English spell differently, as parts of words. A form made with them counts only if it is a
# known word and the one typed is not, so a pair need not be right for every word that holds it.
_PAIRS = (
    *(("our", "or"), ("re", "er"), ("is", "iz"), ("ys", "yz"), ("ll", "l"), ("ogue", "og"), ("ae", "e"), ("oe", "e")),
    *(("ence", "ense"), ("ould", "old"), ("oult", "olt"), ("lph", "lf"), ("grey", "gray"), ("tyre", "tire")),
    *(("aero", "air"), ("ough", "ow"), ("oughnut", "onut"), ("pyj", "paj"), ("yoghurt", "yogurt"), ("mous", "mus")),
    *(("kerb", "curb"), ("cosy", "cozy"), ("scept", "skept"), ("minium", "minum"), ("gaol", "jail")),
)

_SCRIPTS = {"Cjk": "Chinese", "Hiragana": "Japanese", "Katakana": "Japanese", "Hangul": "Korean"}


def bare(token: str) -> str:
    """Without the punctuation around it."""
    return token.strip("".join(c for c in token if unicodedata.category(c)[0] not in "LMN"))


def other_spellings(word: str) -> list[str]:
    """What may be meant by a word or phrase that is not known as it is, likeliest first.

    Without accents ("crème"), as the other side of the Atlantic spells it ("pyjamas"), one instead of many ("teapots").
    """
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    forms = []
    for form in (plain, *_singulars(plain)):
        forms += [form, *across_the_atlantic(form)]
    return [form for form in dict.fromkeys(forms) if form != word]


def across_the_atlantic(word: str) -> list[str]:
    """What a word may be on the other side, most of which are no words at all."""
    pairs = (*_PAIRS, *(pair[::-1] for pair in _PAIRS))
    return [word[: at.start()] + that + word[at.end() :] for this, that in pairs for at in re.finditer(this, word)]


def _singulars(word: str) -> list[str]:
    if word.endswith(("ss", "us", "is")):
        return []
    endings = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))
    forms = [word.removesuffix(many) + one for many, one in endings if word.endswith(many)]
    return [form for form in forms if len(form) > 2]


def sound(word: str) -> str:
    """Much the same for words that are said alike: "elefant" and "elephant", "hipo" and "hippo"."""
    for written, said in (("ph", "f"), ("rh", "r"), ("ck", "k"), ("qu", "k"), ("c", "k"), ("y", "i")):
        word = word.replace(written, said)
    return re.sub(r"(.)\1+", r"\1", word)


def foreign_script(word: str) -> str:
    """The script of the first letter that is not Latin, such as "Cyrillic"; empty where all are."""
    names = (unicodedata.name(letter, "unknown script") for letter in word if letter.isalpha())
    script = next((name.split()[0].capitalize() for name in names if not name.startswith("LATIN")), "")
    return _SCRIPTS.get(script, script)
