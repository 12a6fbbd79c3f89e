import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.library import looks, near_copies
from engine.library.looks import ALIKE, SHAPE, Looks
from tests.scenes import scene


def pictures(seeds, noises):
    """A picture for each seed, with some noise."""
    made = []
    for number, (seed, noise) in enumerate(zip(seeds, noises, strict=True)):
        picture = np.random.default_rng(seed).integers(60, 196, SHAPE)
        made.append(picture + np.random.default_rng([number]).integers(-noise, noise + 1, SHAPE))
    return np.stack(made).astype(np.uint8)


def found(ids, miniatures, known=None, before=near_copies.NONE):
    """The copies, by the module's own way."""
    known = np.zeros(len(ids), np.bool_) if known is None else known
    units = looks.units(miniatures)
    return near_copies.near_copies(ids, Looks.of(miniatures).keys, lambda places: units[places], known, before)


def by_definition(ids, miniatures):
    """One photo after the other is compared with all that are no copies."""
    units, firsts, copies = looks.units(miniatures), [], []
    for i, photo_id in enumerate(ids.tolist()):
        like = [j for j in firsts if units[i] @ units[j] >= ALIKE]
        if like:
            copies.append([photo_id, int(ids[like[0]])])
        else:
            firsts.append(i)
    return np.array(copies, np.int64).reshape(-1, 2)


photos = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 4, 12, 20])), min_size=1, max_size=30)


@settings(max_examples=60)
@given(photos, st.integers(1, 7), st.integers(1, 5))
def test_copies_are_those_of_comparing_all_photos(chosen, at_once, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_copies, "AT_ONCE", at_once)
        for name in ("ROWS", "COLUMNS", "COMPARED_AT_ONCE"):
            patch.setattr(near_copies, name, block)
        ids, miniatures = 3 * np.arange(len(chosen)), pictures(*zip(*chosen, strict=True))
        assert found(ids, miniatures).tolist() == by_definition(ids, miniatures).tolist()


@settings(max_examples=40)
@given(photos, st.integers(0, 30))
def test_photos_that_come_later_are_found_as_if_all_had_come_at_once(chosen, early):
    ids, miniatures = np.arange(len(chosen)), pictures(*zip(*chosen, strict=True))
    before = found(ids[:early], miniatures[:early])
    assert found(ids, miniatures, ids < early, before).tolist() == found(ids, miniatures).tolist()


def test_photos_each_like_the_one_before_it_are_not_all_one_stack():
    start, end = pictures([0, 1], [0, 0]).astype(np.float32)
    shares = np.linspace(0, 1, 30)[:, None, None, None]
    row = np.rint(start * (1 - shares) + end * shares).astype(np.uint8)
    units = looks.units(row)
    assert (np.einsum("nd,nd->n", units[1:], units[:-1]) >= ALIKE).all()
    copies = found(np.arange(30), row)
    assert len(set(copies[:, 1].tolist())) > 3
    assert all(units[copy] @ units[first] >= ALIKE for copy, first in copies.tolist())


def test_photos_that_look_like_nothing_are_no_copies():
    assert not len(found(np.arange(3), np.full((3, *SHAPE), 100, np.uint8)))


def test_few_pairs_are_compared_in_full():
    images = [scene(seed, (64, 48)).resize(SHAPE[:2]) for seed in range(300)]
    miniatures = np.stack([np.asarray(image) for image in images])
    units, compared = looks.units(miniatures), []
    near_copies.near_copies(
        np.arange(300),
        Looks.of(miniatures).keys,
        lambda places: compared.append(len(places)) or units[places],
        np.zeros(300, np.bool_),
        near_copies.NONE,
    )
    assert sum(compared) < 300 * 299 / 100
