import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.library.stacks import Stacks

groups = st.lists(st.lists(st.integers(0, 20), min_size=2, max_size=4, unique=True), max_size=12)


def sets_of(stacks):
    numbers = set(stacks.numbers.tolist())
    return sorted(sorted(stacks.ids[stacks.numbers == number].tolist()) for number in numbers)


def joined(groups):
    """Groups that share a photo put together, until none does."""
    sets = []
    for group in map(set, groups):
        touching = [other for other in sets if other & group]
        sets = [other for other in sets if not other & group] + [group.union(*touching)]
    return sorted(sorted(one) for one in sets)


@given(groups)
def test_groups_that_share_a_photo_are_one_stack(groups):
    stacks = Stacks.of(groups)
    assert sets_of(stacks) == joined(groups)
    assert stacks.ids.tolist() == sorted({i for group in groups for i in group})
    for stack in joined(groups):
        assert stacks.others(stack[0]) == stack[1:]
    assert stacks.others(99) == []


@given(groups, st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_what_is_not_there_is_in_no_stack(groups, there, apart):
    kept = Stacks.of(groups).among(np.array(sorted(there), np.int64), apart)
    wanted = [[i for i in stack if i in there and i not in apart] for stack in joined(groups)]
    assert sets_of(kept) == sorted(stack for stack in wanted if len(stack) > 1)


def test_all_but_the_best_of_a_stack_are_behind():
    stacks = Stacks.of([[1, 4, 9], [2, 7]])
    ids, scores = np.array([1, 2, 4, 7, 9]), np.array([0.1, 0.5, 0.9, 0.5, 0.9])
    assert stacks.behind(ids, scores).tolist() == [True, False, False, True, True]
    assert Stacks.none().behind(ids[:0], scores[:0]).tolist() == []
