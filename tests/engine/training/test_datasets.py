"""Data sets in their real file formats, a few photos each, written by the tests."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DataError
from engine.training.datasets import NAMES, load
from engine.training.datasets.base import Split, file_names, positives
from engine.training.datasets.files import unpickle

COREL5K = Path(__file__).parents[4] / "shared" / "data" / "corel5k"
needs_corel5k = pytest.mark.skipif(not COREL5K.is_dir(), reason=f"needs the photos and tags of Corel5k in {COREL5K}")


def write(folder: Path, **files: str) -> Path:
    """Write files; a double underscore in a keyword stands for a folder, a single dot is put before its suffix."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def tags_of(dataset, split: Split) -> dict[str, set[str]]:
    """Positive tags by file name."""
    named = zip(split.paths(), split.labels(), strict=True)
    return {path.name: {dataset.tags[i] for i in np.flatnonzero(labels > 0)} for path, labels in named}


# --- what all have in common ---


@pytest.fixture
def split(tmp_path):
    return Split(tmp_path, file_names(["a.jpg", "é b.jpg", "c.jpg"]), positives([[0, 2], [], [1]], 4))


def test_a_tag_not_written_down_is_absent_from_a_complete_annotation_and_unknown_in_a_partial_one(split):
    expected = [[1, -1, 1, -1], [-1, -1, -1, -1], [-1, 1, -1, -1]]
    np.testing.assert_array_equal(split.labels(), expected)
    partial = Split(split.folder, split.names, split.annotations, complete=False)
    np.testing.assert_array_equal(partial.labels(), np.maximum(expected, 0))
    assert split.labels().dtype == np.int8


def test_rows_choose_images_and_labels_together_in_the_order_asked(split):
    rows = np.array([2, 0, 2])
    assert [path.name for path in split.paths(rows)] == ["c.jpg", "a.jpg", "c.jpg"]
    np.testing.assert_array_equal(split.labels(rows), split.labels()[rows])
    np.testing.assert_array_equal(split.subset(rows).labels(), split.labels(rows))
    assert split.features(rows) is None


def test_file_names_outside_ascii_come_back_as_they_were(split):
    assert split.paths(slice(1, 2)) == [split.folder / "é b.jpg"]


def test_images_can_be_kept_by_their_number_of_positives(split):
    assert [p.name for p in split.with_positives(slice(4)).paths()] == ["a.jpg", "c.jpg"]
    assert [p.name for p in split.with_positives(slice(4), at_most=1).paths()] == ["c.jpg"]
    assert len(split.with_positives(slice(3, 4))) == 0


def test_splits_join_only_with_their_own_kind(split, tmp_path):
    joined = split.subset(slice(1)) + split.subset(slice(1, None))
    np.testing.assert_array_equal(joined.labels(), split.labels())
    with pytest.raises(ValueError, match="different origin"):
        split + Split(tmp_path / "elsewhere", split.names, split.annotations)


def test_a_split_refuses_labels_for_another_number_of_images(split):
    with pytest.raises(ValueError, match="2 images have labels for 3"):
        Split(split.folder, split.names[:2], split.annotations)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="nus-wide, open-images, coco, corel5k, csv"):
        load("imagenet", tmp_path)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("nus-wide", ["TagList1k.txt", "AllTags1k.txt", "Concepts81.txt", "AllLabels", "TrainImagelist.txt", "Flickr"]),
        ("open-images", ["classes-trainable.txt", "unseen_labels.pkl", "top_400_unseen.csv", "test/test-annotations"]),
        ("coco", ["instances_train2017.json", "instances_val2017.json", "train2017", "val2017"]),
        ("corel5k", ["train.tsv", "test.tsv", "words.txt", "images"]),
        ("csv", ["tags.csv"]),
    ],
)
def test_an_empty_folder_gives_one_line_with_all_that_is_missing_and_where_it_comes_from(tmp_path, name, files):
    assert name in NAMES
    with pytest.raises(DataError) as error:
        load(name, tmp_path)
    message = str(error.value)
    assert "\n" not in message
    assert "(from " in message
    for expected in [str(tmp_path), *files]:
        assert expected in message


# --- NUS-WIDE ---

PHOTOS = [f"{folder}/{i:04d}_{i}.jpg" for i, folder in enumerate(["actor", "zoo", "sky", "sky", "sky", "sky", "zoo"])]


def one_in_lines(*rows: str) -> str:
    return "".join("\t".join(row) + "\t\r\n" for row in rows)


@pytest.fixture
def nus(tmp_path):
    """Seen: nature, blue. Unseen: sky, zoo (sky is a user tag as well, which must not be taken for the human label)."""
    (tmp_path / "NUS-WIDE" / "Flickr").mkdir(parents=True)
    windows = [photo.replace("/", "\\") + "\r\n" for photo in PHOTOS]
    write(
        tmp_path / "NUS-WIDE",
        NUS_WID_Tags__TagList1k_txt="nature\r\nsky\r\nblue\r\n",
        NUS_WID_Tags__AllTags1k_txt=one_in_lines("110", "010", "001", "000", "101", "100", "001"),
        ConceptsList__Concepts81_txt="sky\r\nzoo\r\n",
        AllLabels__Labels_sky_txt="0\n0\n1\n1\n1\n1\n0\n",
        AllLabels__Labels_zoo_txt="0\n1\n0\n0\n0\n0\n1\n",
        ImageList__Imagelist_txt="".join(windows),
        ImageList__TrainImagelist_txt="".join(windows[i] for i in (6, 0, 1, 2, 4)),
        ImageList__TestImagelist_txt="".join(windows[i] for i in (3, 5)),
    )
    return tmp_path


def test_nus_wide_takes_seen_tags_from_users_and_unseen_ones_from_people(nus):
    dataset = load("nus-wide", nus)
    assert dataset.tags == ("nature", "blue", "sky", "zoo")
    assert (dataset.seen, dataset.unseen) == (slice(0, 2), slice(2, 4))
    assert tags_of(dataset, dataset.test) == {"0003_3.jpg": {"sky"}, "0005_5.jpg": {"nature", "sky"}}
    assert dataset.test.paths()[0] == nus / "NUS-WIDE" / "Flickr" / "sky" / "0003_3.jpg"
    assert set(np.unique(dataset.test.labels())) == {-1, 1}


def test_nus_wide_trains_on_the_first_four_fifths_with_a_seen_tag_and_validates_on_the_rest(nus):
    dataset = load("nus-wide", nus)
    assert tags_of(dataset, dataset.train) == {  # the zoo photo 1 has no seen tag
        "0006_6.jpg": {"blue", "zoo"},
        "0000_0.jpg": {"nature"},
        "0002_2.jpg": {"blue", "sky"},
    }
    assert tags_of(dataset, dataset.validation) == {"0004_4.jpg": {"nature", "blue", "sky"}}
    assert len(dataset.train_and_validation()) == 4


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        ({"NUS_WID_Tags__AllTags1k_txt": one_in_lines("110", "01")}, "AllTags1k.txt, line 2: expected 3 times 0 or 1"),
        ({"NUS_WID_Tags__AllTags1k_txt": one_in_lines("110", "210")}, "AllTags1k.txt, line 2"),
        ({"NUS_WID_Tags__AllTags1k_txt": one_in_lines("110")}, "AllTags1k.txt: 1 lines for 7 photos"),
        ({"AllLabels__Labels_zoo_txt": "0\n1\n"}, "Labels_zoo.txt: expected 7 times"),
        ({"ImageList__TestImagelist_txt": f"{PHOTOS[3]}\nno/where.jpg\n"}, "TestImagelist.txt, line 2: no/where.jpg"),
    ],
)
def test_a_damaged_nus_wide_file_is_named_with_its_line(nus, damage, where):
    write(nus / "NUS-WIDE", **damage)
    with pytest.raises(DataError) as error:
        load("nus-wide", nus)
    assert where in str(error.value)


def test_a_concept_without_its_file_of_labels_is_named(nus):
    (nus / "NUS-WIDE" / "AllLabels" / "Labels_zoo.txt").unlink()
    with pytest.raises(DataError, match=r"lacks Labels_zoo\.txt"):
        load("nus-wide", nus)


@pytest.fixture
def nus_features(tmp_path):
    h5py = pytest.importorskip("h5py")
    write(tmp_path, NUS_WID_Tags__TagList1k_txt="nature\nsky\nblue\n", ConceptsList__Concepts81_txt="sky\nzoo\n")
    (tmp_path / "features").mkdir()
    for split, pkl, seen, shape in [("train", "img", 2, (512, 196)), ("test", "test_img", 4, (512, 14, 14))]:
        names = [f"{split}_{i}.jpg" for i in (2, 0, 1, 3, 4)]
        (tmp_path / f"{pkl}_names.pkl").write_bytes(pickle.dumps({"img_names": names}))
        with h5py.File(tmp_path / "features" / f"nus_wide_{split}.h5", "w") as file:
            for i, name in enumerate(names):
                file.create_dataset(f"{name}-features", data=np.full(shape, i, np.float32), compression="gzip")
                file[f"{name}-labels"] = np.array([1, -1, 1, -1][:seen], np.int8)
                file[f"{name}-labels_81"] = np.array([-1, 1], np.int8)
    return tmp_path


def test_nus_wide_reads_the_released_features_in_the_order_of_the_list_of_names(nus_features):
    dataset = load("nus-wide", nus_features)
    assert dataset.tags == ("nature", "blue", "sky", "zoo")
    assert [path.name for path in dataset.train.paths()] == [f"train_{i}.jpg" for i in (2, 0, 1, 3)]
    assert [path.name for path in dataset.validation.paths()] == ["train_4.jpg"]
    for split, expected in [(dataset.train, [3, 0]), (dataset.test, [3, 0])]:
        features = split.features(np.array([3, 0]))
        assert features.shape == (2, 512, 14, 14)
        np.testing.assert_array_equal(features[:, 0, 0, 0], expected)
        np.testing.assert_array_equal(split.labels(slice(1)), [[1, -1, -1, 1]])
    assert len(dataset.train_and_validation()) == 5


def test_features_that_lack_an_image_or_are_no_hdf5_say_so(nus_features):
    (nus_features / "img_names.pkl").write_bytes(pickle.dumps({"img_names": ["lost.jpg"]}))
    with pytest.raises(DataError, match=r"nus_wide_train\.h5: an image is missing.*lost\.jpg"):
        load("nus-wide", nus_features)
    (nus_features / "features" / "nus_wide_train.h5").write_bytes(b"<html>Quota exceeded</html>")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        load("nus-wide", nus_features)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_are_no_numbers_or_do_not_fit_half_precision_name_their_photo(nus_features, value):
    split = load("nus-wide", nus_features).test
    name = split.names[1].decode()
    h5py = pytest.importorskip("h5py")
    with h5py.File(split.feature_file.path, "r+") as file:
        values = file[f"{name}-features"][()]
        values.flat[5] = value
        file[f"{name}-features"][()] = values
    with pytest.raises(DataError, match=f"the features of {name} are not all numbers up to 65,504"):
        split.features()


@pytest.mark.parametrize("part", ["features", "labels"])
def test_what_stands_where_an_array_of_numbers_should_be_says_so(nus_features, part):
    h5py = pytest.importorskip("h5py")
    path = nus_features / "features" / "nus_wide_train.h5"
    with h5py.File(path, "r+") as file:
        name = next(name for name in file if name.endswith(f"-{part}"))
        del file[name]
        file.create_group(name)
    with pytest.raises(DataError, match=f"{name} is no array of numbers"):
        load("nus-wide", nus_features).train.features()


def test_a_list_of_names_that_is_something_else_says_so(nus_features):
    (nus_features / "img_names.pkl").write_bytes(pickle.dumps(["a.jpg"]))
    with pytest.raises(DataError, match=r"img_names\.pkl: expected a dictionary"):
        load("nus-wide", nus_features)


# --- Open Images ---

A, B, C, D = (f"{i:016x}" for i in range(4))
HEADER = "ImageID,Source,LabelName,Confidence\n"


def verified(*rows: tuple[str, str, int]) -> str:
    return HEADER + "".join(f"{image},verification,{label},{confidence}\n" for image, label, confidence in rows)


@pytest.fixture
def open_images(tmp_path):
    """Seen: Cat; Dog, big. Unseen: Owl, Bee (in that order; Eel belongs to neither). B has no photo."""
    write(
        tmp_path,
        **{"classes-trainable_txt": "/m/cat\n/m/dog\n", "top_400_unseen_csv": "\ufeff2\r\n0\r\n"},
        **{"class-descriptions_csv": '/m/bee,Bee\n/m/cat,Cat\n/m/dog,"Dog, big"\n/m/eel,Eel\n/m/owl,Owl\n'},
    )
    (tmp_path / "unseen_labels.pkl").write_bytes(pickle.dumps(np.array(["/m/bee", "/m/eel", "/m/owl"])))
    for split, rows in {
        "train": [
            *[(C, "/m/dog", 1), (A, "/m/cat", 1), (A, "/m/dog", 0), (A, "/m/eel", 1)],
            *[(B, "/m/cat", 1), (D, "/m/cat", 0), (C, "/m/owl", 1)],
        ],
        "validation": [(A, "/m/bee", 1), (A, "/m/bee", 0), (A, "/m/cat", 1), (A, "/m/cat", 1)],
        "test": [(A, "/m/owl", 1), (C, "/m/cat", 1), (C, "/m/owl", 0), (D, "/m/dog", 0)],
    }.items():
        write(tmp_path, **{f"{split}__{split}-annotations-human-imagelabels_csv": verified(*rows)})
        for image in (A, C, D):
            (tmp_path / split / f"{image}.jpg").touch()
    return tmp_path


def test_open_images_has_the_seen_classes_then_the_chosen_ones_of_the_rest(open_images):
    dataset = load("open-images", open_images)
    assert dataset.tags == ("Cat", "Dog, big", "Owl", "Bee")
    assert (dataset.seen, dataset.unseen) == (slice(0, 2), slice(2, 4))


def test_open_images_labels_are_what_was_verified_and_zero_elsewhere(open_images):
    train = load("open-images", open_images).train  # D has no positive, B no photo
    assert [path.name for path in train.paths()] == [f"{A}.jpg", f"{C}.jpg"]
    np.testing.assert_array_equal(train.labels(), [[1, -1, 0, 0], [0, 1, 1, 0]])


def test_open_images_sums_repeated_rows(open_images):
    np.testing.assert_array_equal(load("open-images", open_images).validation.labels(), [[1, 0, 0, 0]])


def test_open_images_measures_on_test_images_with_a_positive_among_the_measured_classes(open_images):
    dataset = load("open-images", open_images)
    assert (len(dataset.test), dataset.skip_untagged) == (3, True)
    assert [path.stem for path in dataset.test.with_positives(dataset.unseen).paths()] == [A]
    assert [path.stem for path in dataset.test.with_positives(slice(None)).paths()] == [A, C]


def test_the_validation_images_of_open_images_never_train(open_images):
    dataset = load("open-images", open_images)
    assert dataset.train_and_validation() is dataset.train


def test_open_images_does_not_train_on_more_than_forty_positives(open_images):
    classes = [f"/m/{i}" for i in range(41)]
    rows = [(image, label, 1) for image, most in ((A, 41), (C, 40)) for label in classes[:most]]
    write(
        open_images,
        **{"classes-trainable_txt": "\n".join(classes), "class-descriptions_csv": ""},
        **{"train__train-annotations-human-imagelabels_csv": verified(*rows)},
    )
    dataset = load("open-images", open_images)
    assert [path.stem for path in dataset.train.paths()] == [C]
    assert dataset.tags[0] == "/m/0"  # no name is known


def test_open_images_takes_the_rest_of_the_classes_from_a_text_file_too(open_images):
    expected = load("open-images", open_images).tags
    (open_images / "unseen_labels.pkl").unlink()
    write(open_images, unseen_labels_txt="/m/bee\n/m/eel\n/m/owl\n")
    assert load("open-images", open_images).tags == expected


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("train__train-annotations-human-imagelabels_csv", verified((A, "/m/cat", 2)), "imagelabels.csv, line 2"),
        ("train__train-annotations-human-imagelabels_csv", HEADER + f"{A},verification\n", "imagelabels.csv, line 2"),
        ("test__test-annotations-human-imagelabels_csv", verified(("short", "/m/cat", 1)), "imagelabels.csv, line 2"),
        ("test__test-annotations-human-imagelabels_csv", "<html>\n", "imagelabels.csv, line 1: expected the header"),
        ("top_400_unseen_csv", "0\n3\n", "top_400_unseen.csv, line 2: expected an index below 3"),
        ("class-descriptions_csv", "/m/cat\n", "class-descriptions.csv, line 1"),
    ],
)
def test_a_damaged_open_images_file_is_named_with_its_line(open_images, name, text, where):
    write(open_images, **{name: text})
    with pytest.raises(DataError) as error:
        load("open-images", open_images)
    assert where in str(error.value)


def test_open_images_without_a_single_photo_says_which_folder_is_empty(open_images):
    for photo in (open_images / "test").glob("*.jpg"):
        photo.unlink()
    with pytest.raises(DataError, match=r"test has none of the photos"):
        load("open-images", open_images)


class Command:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_never_runs_code(tmp_path, capsys):
    path = tmp_path / "unseen_labels.pkl"
    path.write_bytes(pickle.dumps(Command()))
    with pytest.raises(DataError, match=r"it wants to run builtins\.print"):
        unpickle(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2])[:-3]])
def test_a_broken_pickle_is_a_one_line_error(tmp_path, content):
    path = tmp_path / "names.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"names\.pkl: not a pickle of plain data"):
        unpickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_text_are_read_whatever_the_protocol_and_the_version_of_numpy(tmp_path, protocol):
    path = tmp_path / "names.pkl"
    for values in (np.array(["/m/a", "/m/b"]), np.array(["/m/a", "/m/b"], object)):
        written = pickle.dumps(values, protocol)
        for content in (written, written.replace(b"numpy._core", b"numpy.core") if protocol < 4 else written):
            path.write_bytes(content)
            assert np.asarray(unpickle(path)).tolist() == ["/m/a", "/m/b"]


# --- COCO ---


def instances(photos: int, objects: list[tuple[int, int]]) -> str:
    return json.dumps(
        {
            "images": [{"id": 10 + i, "file_name": f"{i:012d}.jpg"} for i in range(photos)],
            "annotations": [{"id": n, "image_id": 10 + i, "category_id": c} for n, (i, c) in enumerate(objects)],
            "categories": [{"id": 1, "name": "person"}, {"id": 17, "name": "cat"}, {"id": 90, "name": "toothbrush"}],
        }
    )


@pytest.fixture
def coco(tmp_path):
    for folder in ("train2017", "val2017"):
        (tmp_path / "coco" / folder).mkdir(parents=True)
    return write(
        tmp_path,
        coco__annotations__instances_train2017_json=instances(20, [(i, 90) for i in range(19)] + [(19, 17)]),
        coco__annotations__instances_val2017_json=instances(2, [(0, 17), (0, 17), (0, 1)]),
    )


def test_coco_tags_a_photo_with_the_classes_outlined_in_it(coco):
    dataset = load("coco", coco, unseen=["cat"])
    assert dataset.tags == ("person", "toothbrush", "cat")
    assert tags_of(dataset, dataset.test) == {"000000000000.jpg": {"person", "cat"}, "000000000001.jpg": set()}
    assert dataset.test.paths()[0].parent == coco / "coco" / "val2017"


def test_classes_of_coco_files_that_number_them_otherwise_are_told_by_their_names(coco):
    path = coco / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 1, "name": "toothbrush"}, {"id": 17, "name": "person"}, {"id": 3, "name": "zebra"}]
    path.write_text(json.dumps(content))
    dataset = load("coco", coco, unseen=["cat"])
    assert tags_of(dataset, dataset.test)["000000000000.jpg"] == {"person", "toothbrush"}


def test_coco_validates_on_a_tenth_drawn_by_the_seed_and_trains_on_photos_with_a_seen_class(coco):
    dataset = load("coco", coco, unseen=["cat"], seed=1)
    train, validation = (set(tags_of(dataset, split)) for split in (dataset.train, dataset.validation))
    assert len(validation) == 2
    assert not train & validation
    assert train | validation | {"000000000019.jpg"} == {f"{i:012d}.jpg" for i in range(20)}
    assert set(tags_of(dataset, load("coco", coco, unseen=["cat"], seed=2).validation)) != validation


def test_coco_refuses_an_unseen_class_it_does_not_have(coco):
    with pytest.raises(DataError, match=r"has no class airplane, .*toilet"):
        load("coco", coco)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n"images": [}', "instances_val2017.json, line 2: not JSON"),
        ('{"images": []}', "instances_val2017.json: not COCO's instances format, 'categories'"),
        (instances(1, [(5, 1)]), "instances_val2017.json: an object names the unknown photo or class 15"),
    ],
)
def test_a_damaged_coco_file_is_named(coco, text, where):
    write(coco, coco__annotations__instances_val2017_json=text)
    with pytest.raises(DataError) as error:
        load("coco", coco, unseen=["cat"])
    assert where in str(error.value)


# --- Corel5k-ZSL ---


@needs_corel5k
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_corel5k_is_the_benchmark_as_described(seed):
    dataset = load("corel5k", COREL5K.parent, seed=seed)
    words = (COREL5K / "words.txt").read_text().split()
    rng = np.random.default_rng(seed)
    order = rng.permutation(5000)
    rows = [row for split in ("train", "test") for row in (COREL5K / f"{split}.tsv").read_text().splitlines()]
    usable = [w for w in words if sum(w in row.split("\t")[1].split(",") for row in rows) >= 20]
    unseen = {usable[i] for i in rng.permutation(len(usable))[:40]}

    assert len(dataset.tags) == 153
    assert dataset.tags == (*(w for w in usable if w not in unseen), *(w for w in usable if w in unseen))
    assert dataset.seen_count == 113
    assert [path.name for path in dataset.train.paths()] == [rows[i].split("\t")[0] for i in order[:3500]]
    assert [path.name for path in dataset.test.paths()] == [rows[i].split("\t")[0] for i in order[3500:]]
    assert len(dataset.validation) == 0
    assert all(path.exists() for path in dataset.test.paths(slice(20)))
    for i, tags in enumerate(tags_of(dataset, dataset.test.subset(slice(20))).values()):
        assert tags == set(rows[order[3500 + i]].split("\t")[1].split(",")) & set(usable)


@pytest.fixture
def corel5k(tmp_path):
    (tmp_path / "images").mkdir()
    common = ",".join(f"tag{i}" for i in range(41))
    rows = [f"{i}.jpg\t{common}" for i in range(19)] + ["19.jpg\trare", "20.jpg"]
    return write(
        tmp_path,
        words_txt="\n".join([f"tag{i}" for i in range(41)] + ["rare"]),
        train_tsv="\n".join(rows),
        test_tsv=f"99.jpg\t{common}\n",
    )


def test_corel5k_uses_tags_with_twenty_photos_and_a_word_vector(corel5k):
    dataset = load("corel5k", corel5k)
    assert set(dataset.tags) == {f"tag{i}" for i in range(41)}
    assert dataset.seen_count == 1
    assert (len(dataset.train), len(dataset.test)) == (15, 7)
    with pytest.raises(DataError, match="leaves 40 tags with 20 photos and a word vector"):
        load("corel5k", corel5k, has_vector=lambda tag: tag != "tag7")


def test_a_tag_that_is_not_in_the_list_of_words_is_named_with_its_line(corel5k):
    write(corel5k, test_tsv="1.jpg\ttag1\n2.jpg\ttag1,tagg\n")
    with pytest.raises(DataError, match=r"test\.tsv, line 2: tagg is not in words\.txt"):
        load("corel5k", corel5k)


# --- a CSV of tags ---


@pytest.fixture
def tagged(tmp_path):
    rows = ['a b/0.jpg,"dog, old man"', "1.jpg,dog;cat", "1.jpg,owl", *(f"{i}.jpg,cat" for i in range(2, 10))]
    return write(tmp_path, tags_csv="file,tags\n" + "\n".join(rows))


def test_a_csv_gives_each_photo_the_tags_of_its_lines(tagged):
    dataset = load("csv", tagged, unseen=["dog"])
    assert dataset.tags == ("cat", "old man", "owl", "dog")
    tags = {}
    for split in (dataset.train, dataset.validation, dataset.test):
        tags |= tags_of(dataset, split)
    assert len(tags) == 10
    assert tags["0.jpg"] == {"dog", "old man"}
    assert tags["1.jpg"] == {"dog", "cat", "owl"}
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (7, 1, 2)


def test_the_seed_of_a_csv_decides_the_split(tagged):
    paths = [load("csv", tagged, seed=seed).train.paths() for seed in (0, 0, 1)]
    assert paths[0] == paths[1] != paths[2]


def test_unseen_tags_may_stand_in_a_file_beside_the_table(tagged):
    write(tagged, unseen_txt=" owl\n\ndog\n")
    assert load("csv", tagged).tags[-2:] == ("dog", "owl")
    assert load("csv", tagged, unseen=["cat"]).tags[-1] == "cat"
    with pytest.raises(DataError, match=r"tags\.csv has no photo tagged owls"):
        load("csv", tagged, unseen=["owls"])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("photo,words\n1.jpg,cat\n", "line 1: expected the columns file and tags"),
        ("", "line 1: expected the columns file and tags"),
        ("file,tags\n", "it names no photo"),
        ("file,tags\n1.jpg,cat\n2.jpg\n", "line 3: expected a file and its tags"),
        ("file,tags\n1.jpg,cat,dog\n", "line 2: expected a file and its tags"),
        ('file,tags\n1.jpg,"cat,dog\n2.jpg,dog\n3.jpg,dog\n', "unexpected end of data; are its quotes right?"),
        ('file,tags\n1.jpg,"cat\n' + "2.jpg,dog\n" * 20_000, "field larger than field limit"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(tmp_path, text, where):
    write(tmp_path, tags_csv=text)
    with pytest.raises(DataError) as error:
        load("csv", tmp_path)
    assert where in str(error.value)


def test_a_table_that_is_not_text_says_so(tmp_path):
    (tmp_path / "tags.csv").write_bytes(b"file,tags\n\xff\xfe.jpg,cat\n")
    with pytest.raises(DataError, match=r"tags\.csv: byte 10 is not UTF-8 text"):
        load("csv", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder reads differently on Windows")
def test_a_table_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "tags.csv").mkdir()
    with pytest.raises(DataError, match=r"tags\.csv cannot be read: Is a directory"):
        load("csv", tmp_path)
