"""Outlined photos teach where things are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import DataError
from engine.training.datasets.panoptic import NOTHING, outlined, spoken
from engine.training.located import Crop, LocatedSet, draw_views, located_loss, pixels_of, shares_of
from tests.engine.training import tiny


def knows(name):
    return name != "mauve"


@pytest.fixture
def halves(tmp_path):
    """Photos, red on the left and blue on the right, outlined so; a third segment is nameless, or hidden in one."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    lines = []
    for i in range(4):
        pixels = np.zeros((64, 96, 3), np.uint8)
        pixels[:, :48, 0], pixels[:, 48:, 2] = 255, 255
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.jpg", quality=95)
        mask = np.zeros((64, 96, 3), np.uint8)
        mask[:, :48], mask[:, 48:], mask[:8, 48:] = (1, 2, 0), (7, 0, 0), (9, 0, 0)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
        lines += [
            f"{i}.png\t513\tred-stuff\t3072",
            f"{i}.png\t7\tblue\t2688",
            f"{i}.png\t9\t{'zebra' if i == 2 else 'mauve'}\t384",
        ]
    (tmp_path / "segments.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_segments_have_their_names_and_photos_of_something_hidden_are_left_out(halves):
    found = outlined(halves, knows, {"zebra"})
    assert [photo.name for photo in found.photos] == ["0.jpg", "1.jpg", "3.jpg"]
    assert (found.names, len(found)) == (("blue", "red"), 3)
    names = found.name_map(0)
    assert (names[:, :48] == 1).all()
    assert (names[8:, 48:] == 0).all()
    assert (names[:8, 48:] == NOTHING).all()


def test_classes_are_named_as_people_say_them():
    assert [spoken(name) for name in ("floor-other-merged", "wall-brick", "playingfield", "person")] == [
        "floor",
        "wall brick",
        "playing field",
        "person",
    ]


@pytest.mark.parametrize("line", ["0.png\t513\tred", "0.png\tmany\tred\t4"])
def test_a_damaged_table_is_named_with_its_line(halves, line):
    (halves / "segments.tsv").write_text(f"0.png\t7\tblue\t9\n{line}\n")
    with pytest.raises(DataError, match=r"segments\.tsv.*2"):
        outlined(halves, lambda name: True)


def test_a_damaged_mask_is_named(halves):
    (halves / "masks" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png"):
        outlined(halves, lambda name: True).name_map(0)


def test_the_shares_of_a_view_are_what_its_pixels_show(halves):
    found = outlined(halves, knows, {"zebra"})
    views = draw_views(len(found), 4, 5, seed=1)
    assert [len(view) for view in views] == [1] * 12 + [4] * 5
    shares = shares_of(found, views, (4, 4)).astype(np.float32)
    for pixels, share in zip(pixels_of(found, views, 64), shares, strict=True):
        cells = pixels.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)).reshape(16, 3) / 255
        np.testing.assert_allclose(share[:, 1], cells[:, 0], atol=0.1)  # red
        assert (share[:, 0] <= cells[:, 2] + 0.1).all()  # blue, or nameless
        assert (share.sum(axis=1) <= 1.001).all()


def test_views_are_drawn_by_the_seed():
    assert draw_views(3, 2, 2, seed=4) == draw_views(3, 2, 2, seed=4) != draw_views(3, 2, 2, seed=5)


def test_the_loss_is_least_where_the_names_are_and_what_is_nameless_does_not_count():
    queries = torch.eye(3)
    shares = torch.zeros(1, 4, 3)
    shares[0, 0, 0] = shares[0, 1, 1] = shares[0, 2, 2] = 1.0  # the fourth region is nameless
    right = torch.zeros(1, 4, 3)
    right[0, :3] = 20 * torch.eye(3)
    assert located_loss(right, shares, queries) < 0.01
    assert located_loss(right.flip(2), shares, queries) > 1
    hot = right.clone()
    hot[0, 3] = torch.tensor([0.0, 0.0, 20.0])
    loss_what_alone = located_loss(hot, shares, queries) - located_loss(right, shares, queries)
    assert 0.1 < loss_what_alone < 1  # it takes from the third name's place, and from nothing else
    assert located_loss(right, torch.zeros(1, 4, 3), queries) == 0


def located_set(seed=0):
    """Views in which the first feature is strong where the first name is."""
    photos = tiny.photos(12, seed)
    rng = np.random.default_rng(seed)
    place = rng.integers(16, size=12)
    shares = np.zeros((12, 16, 2), np.float16)
    shares[:, :, 1] = 1
    regions = rng.random((12, 7, 16)).astype(np.float16)
    for row, region in enumerate(place):
        shares[row, region] = (1, 0)
        regions[row, 6, region] += 4
    views = [(Crop(row, (0, 0, 1, 1), False),) for row in range(12)]
    return LocatedSet(
        photos.features._replace(regions=regions.reshape(12, 7, 4, 4)),
        shares,
        ["spot", "rest"],
        tiny.vectors(2, 9),
        views,
    ), place


def test_training_with_views_finds_the_place_in_views_it_has_not_seen(tmp_path):
    located, _ = located_set()
    unseen, place = located_set(seed=5)

    def found(weight):
        recipe = replace(tiny.RECIPE, located=weight, schedule=replace(tiny.RECIPE.schedule, epochs=12))
        trainer = tiny.Trainer(recipe, tiny.vectors(6, 1), tiny.vectors(5, 2), tmp_path / str(weight), None, located)
        head = trainer.fit(tiny.photos(mirrored=False))
        parts = (torch.from_numpy(part.astype(np.float32)) for part in unseen.features[:2])
        vectors = head.biam.region_vectors(*parts).detach().numpy()
        return np.mean((vectors[..., :-1] @ unseen.vectors[0]).argmax(axis=1) == place)

    assert found(4.0) > max(0.6, 2 * found(0.0))


def test_a_run_with_views_and_tuned_vectors_goes_on_where_it_was_stopped(tmp_path):
    located, _ = located_set()
    recipe = replace(tiny.RECIPE, located=1.0, tuning=2.0, average=0.9)

    def trainer(name, epochs=4):
        made = tiny.Trainer(recipe, tiny.vectors(6, 1), tiny.vectors(5, 2), tmp_path / name, None, located)
        stop = made._run_epoch

        def run(*arguments):
            if made.epoch == epochs:
                raise KeyboardInterrupt
            return stop(*arguments)

        made._run_epoch = run
        return made

    whole = trainer("whole")
    whole.fit(tiny.photos())
    with pytest.raises(KeyboardInterrupt):
        trainer("stopped", 2).fit(tiny.photos())
    resumed = trainer("stopped")
    resumed.fit(tiny.photos())
    for name, value in whole.scorer.state_dict().items():
        assert torch.equal(value, resumed.scorer.state_dict()[name]), name
    np.testing.assert_array_equal(whole.label_vectors(), resumed.label_vectors())
    assert np.abs(whole.label_vectors() - tiny.vectors(6, 1)).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(whole.label_vectors(), axis=1), 1, atol=1e-5)


def test_without_tuning_label_vectors_stay_where_the_words_put_them(tmp_path):
    made = tiny.trainer(tmp_path)
    made.fit(tiny.photos())
    np.testing.assert_array_equal(made.label_vectors(), tiny.vectors(6, 1))


def test_views_of_photos_can_be_left_out():
    located, _ = located_set()
    rest = located.without({0, 5})
    assert [view[0].photo for view in rest.views] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(rest.features.regions[4], located.features.regions[6])
    np.testing.assert_array_equal(rest.shares[4], located.shares[6])


def test_what_no_view_shows_any_longer_is_not_learned():
    located, _ = located_set()
    assert located.shown() == ["spot", "rest"]
    hidden = replace(located, shares=located.shares * np.float16([0, 1]))
    assert hidden.shown() == ["rest"]
