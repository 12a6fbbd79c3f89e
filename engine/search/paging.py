"""Pages of hits: which part of a ranking is shown, in which order, and where the next page begins.

What people said of a photo is never overruled: the relevant ones come first, whatever they score, and those that are
not come last, below any cut-off.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.search.cursor import Cursor, Sort
from engine.search.feedback import Marks
from engine.search.ranking import Place, Ranked, Ranking

Groups = NDArray[np.int8]


@dataclass(frozen=True)
class Page:
    """Photos in order. `first` come before them, `total` are there in all, `next` is the cursor after them."""

    ranked: Ranked
    first: int
    total: int
    next: str | None


def by_score(
    ranking: Ranking, marks: Marks, top: int, offset: int, after: Cursor | None, *, exact: bool = False
) -> Page:
    """The best `top` photos (0: all) after a cursor, less the first `offset`, proven and counted if `exact`."""
    wanted = offset + top + 1 if top else 0  # one more tells whether there is a next page
    rest, first, last = _by_mark(ranking, marks)
    place = Place(after.value, after.id) if after and after.group == 0 else None
    middle = replace(ranking, rows=rest).best(wanted, place, exact=exact)
    found = Ranked.together([first, middle, last])
    groups = np.repeat(np.array([-1, 0, 1], np.int8), [len(part.ids) for part in (first, middle, last)])
    total = len(first.ids) + middle.total + len(last.ids)
    if after is not None:
        keys = zip(groups.tolist(), (-found.scores).tolist(), found.ids.tolist(), strict=True)
        later = np.array([key > (after.group, -after.value, after.id) for key in keys], np.bool_)
        found, groups = found.part(np.flatnonzero(later)), groups[later]
    shown = slice(offset, offset + top if top else None)
    return _page(
        "relevance",
        found.part(shown),
        groups[shown],
        found.scores[shown],
        len(found.ids) - offset,
        after,
        offset,
        total,
    )


def by_date(ranking: Ranking, marks: Marks, top: int, offset: int, after: Cursor | None) -> Page:
    """As above, the newest photos first; those without a date come last."""
    rest, first, last = _by_mark(ranking, marks)
    corpus = ranking.corpus
    marked = corpus.rows_of(np.sort(np.concatenate([first.ids, last.ids])))
    members = np.concatenate([replace(ranking, rows=rest).members(), marked])
    dates, ids = corpus.dates[members], corpus.ids[members]
    order = np.lexsort((ids, -dates))
    if after is not None:
        order = order[(dates[order] < after.value) | ((dates[order] == after.value) & (ids[order] > after.id))]
    shown = order[offset : offset + top if top else None]
    ranked = ranking.score(members[shown])
    groups = np.zeros(len(shown), np.int8)
    return _page("date", ranked, groups, dates[shown], len(order) - offset, after, offset, len(members))


def _by_mark(ranking: Ranking, marks: Marks) -> tuple[NDArray[np.int64], Ranked, Ranked]:
    """Rows that nothing was said of; the relevant photos, best first; the others, where no cut-off leaves them out."""
    if not len(marks):
        return ranking.rows, Ranked.none(ranking), Ranked.none(ranking)
    corpus = ranking.corpus
    marked = np.intersect1d(corpus.rows_of(np.array(sorted(marks.by_photo), np.int64)), ranking.rows)
    relevant = np.isin(corpus.ids[marked], marks.relevant)
    last = marked[~relevant] if ranking.cut == -np.inf else marked[:0]
    return (
        np.setdiff1d(ranking.rows, marked, assume_unique=True),
        ranking.score(marked[relevant]).sorted(),
        ranking.score(last).sorted(),
    )


def _page(
    sort: Sort,
    shown: Ranked,
    groups: Groups,
    values: NDArray[np.floating],
    left: int,
    after: Cursor | None,
    offset: int,
    total: int,
) -> Page:
    """The page of `shown`, of `left` photos from its first one on; they are sorted by groups, `values`, ids."""
    first = (after.rank if after else 0) + offset
    count = len(shown.ids)
    following = None
    if 0 < count < left:
        following = Cursor(sort, int(groups[-1]), float(values[-1]), int(shown.ids[-1]), first + count).encode()
    return Page(shown, first, total, following)
