"""The everyday mix: what each collection is annotated for, and which words are kept from training."""

import numpy as np
import pytest

from engine.errors import DataError
from engine.training.datasets import load
from engine.training.datasets.everyday import UNSEEN, everyday
from tests.conftest import SHARED


@pytest.fixture
def data(tmp_path):
    for folder in ("corel5k", "flickr-captions", "imagenet-1000", "coco-128"):
        (tmp_path / folder / "images").mkdir(parents=True)
    (tmp_path / "corel5k/train.tsv").write_text("1.jpg\tsky,zebra\n2.jpg\tsea\n")
    (tmp_path / "corel5k/test.tsv").write_text("3.jpg\tsky,sea\n")
    captions = [f"{i}.jpg\tA brown dogs runs with the stick .\n" for i in range(5)]
    (tmp_path / "flickr-captions/captions.tsv").write_text("".join(captions) + "5.jpg\tA rare word .\n")
    (tmp_path / "imagenet-1000/classes.tsv").write_text("0\tn01440764\ttench\tn01440764.jpg\n")
    (tmp_path / "coco-128/objects.tsv").write_text("7.jpg\tdog\t.5\t.5\t.1\t.1\n7.jpg\tcar\t.5\t.5\t.1\t.1\n")
    (tmp_path / "coco-128/segments.tsv").write_text(
        "7.png\t1\tdog\t9\n7.png\t2\tsea\t9\n8.png\t2\tsky-other-merged\t9\n"
    )
    (tmp_path / "coco-128/masks").mkdir()
    for name in ("7.jpg", "8.jpg"):
        (tmp_path / "coco-128/images" / name).touch()
    return tmp_path


def test_each_collection_is_annotated_for_its_own_tags_only(data):
    mix = everyday(data, has_vector=lambda word: True)
    column = {tag: i for i, tag in enumerate(mix.tags)}
    labels = mix.train.labels()
    assert len(mix.train) == 3 + 6 + 1
    assert [labels[0, column[tag]] for tag in ("sky", "sea", "brown", "stick")] == [1, -1, 0, 0]
    assert [labels[3, column[tag]] for tag in ("sky", "sea", "brown", "stick")] == [0, 0, 1, 1]
    assert (labels[9, mix.seen] == 0).all()


def test_words_kept_from_training_and_their_plurals_are_no_seen_tags(data):
    mix = everyday(data, has_vector=lambda word: True)
    seen = set(mix.tags[mix.seen])
    assert seen.isdisjoint({*UNSEEN, "dogs"})
    assert {"sky", "sea", "brown", "stick"} <= seen
    assert "rare" not in seen
    assert "with" not in seen
    assert mix.train.labels()[3, mix.tags.index("dog")] == 1  # noted, for those who must know


def test_no_photo_of_a_word_that_is_kept_from_training_has_outlines(data):
    outlines = everyday(data, has_vector=lambda word: True).outlined
    assert (outlines.names, [photo.name for photo in outlines.photos]) == (("sky",), ["8.jpg"])


def test_the_coco_photos_test_and_have_no_part_in_the_tagged_ones(data):
    mix = everyday(data, has_vector=lambda word: True)
    assert not any(b"coco" in name for name in mix.train.names)
    labels = mix.test.labels()
    assert [labels[0, mix.tags.index(tag)] for tag in ("dog", "car", "sky")] == [1, 1, 0]
    assert [labels[1, mix.tags.index(tag)] for tag in ("dog", "car", "sky")] == [-1, -1, 0]
    assert mix.calibration is mix.test


def test_what_is_missing_is_listed_in_one_line(tmp_path):
    with pytest.raises(DataError) as caught:
        load("everyday", tmp_path)
    for name in (
        "corel5k/train.tsv",
        "flickr-captions/captions.tsv",
        "imagenet-1000/classes.tsv",
        "coco-128/objects.tsv",
    ):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_without_its_columns_is_named(data):
    (data / "coco-128/objects.tsv").write_text("7.jpg\tdog\n")
    with pytest.raises(DataError, match=r"objects\.tsv, line 1"):
        everyday(data, has_vector=lambda word: True)


@pytest.mark.skipif(not SHARED.exists(), reason="the photo collections are not on this machine")
def test_the_real_mix_has_its_photos_and_tags():
    mix = everyday(SHARED, has_vector=str.isalpha)
    assert len(mix.train) == 5000 + 700 + 999  # two classes share a photo
    assert len(mix.test) == 128
    assert np.isin(["sky", "people", "beach"], mix.tags[mix.seen]).all()
