"""Stacks: photos that are copies of each other, of which a search lists one."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Stacks:
    """M photos, by ascending id, and the number of the stack that each is in, both (M,); no stack has a single one."""

    ids: Ids
    numbers: NDArray[np.int64]

    @classmethod
    def none(cls) -> "Stacks":
        """No stacks."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def of(cls, groups: Iterable[Sequence[int]]) -> "Stacks":
        """Groups of photos; those that share one are one stack."""
        stack_of: dict[int, list[int]] = {}
        for group in groups:
            joined = {id(stack_of[i]): stack_of[i] for i in group if i in stack_of}
            stack = max(joined.values(), key=len, default=[])
            for other in joined.values():
                if other is not stack:
                    stack += other
                    stack_of.update(dict.fromkeys(other, stack))
            new = [i for i in group if i not in stack_of]
            stack += new
            stack_of.update(dict.fromkeys(new, stack))
        ids = sorted(stack_of)
        return cls(np.array(ids, np.int64), np.array([min(stack_of[i]) for i in ids], np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def among(self, ids: Ids, apart: Collection[int] = ()) -> "Stacks":
        """The stacks of photos that are among `ids` and not in `apart`."""
        there = np.isin(self.ids, ids) & np.isin(self.ids, list(apart), invert=True)
        numbers, inverse, counts = np.unique(self.numbers[there], return_inverse=True, return_counts=True)
        several = counts[inverse] > 1
        return Stacks(self.ids[there][several], numbers[inverse[several]])

    def others(self, photo_id: int) -> list[int]:
        """The ids of what else is in a photo's stack, ascending."""
        place = np.searchsorted(self.ids, photo_id)
        if place == len(self.ids) or self.ids[place] != photo_id:
            return []
        return [i for i in self.ids[self.numbers == self.numbers[place]].tolist() if i != photo_id]

    def behind(self, ids: Ids, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of some photos (n,), all in stacks, come after another one of their stack: by score, then by id."""
        order = np.lexsort((ids, -scores))
        numbers = self.numbers[np.searchsorted(self.ids, ids[order])]
        behind = np.ones(len(ids), np.bool_)
        behind[order[np.unique(numbers, return_index=True)[1]]] = False
        return behind
