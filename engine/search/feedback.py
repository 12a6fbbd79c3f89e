"""Relevance feedback: what people said of a query's hits, put to use the next time it is asked.

A query is remembered by its terms alone, in any order; filters narrow what is shown, and do not change what is meant.
"""

from engine.words.query import Query


def spelled(query: Query) -> str:
    """The terms of a query in one way of writing them, so that “Dog  beach” and `beach dog` are one."""
    return " ".join(sorted(_spelled(term.text, term.weight) for term in query.terms))


def _spelled(text: str, weight: float) -> str:
    word = f'"{text}"' if " " in text else text
    return f"{'-' if weight < 0 else ''}{word}{'' if abs(weight) == 1 else f'^{abs(weight):g}'}"
