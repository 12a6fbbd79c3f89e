"""A tag that is missing beside one of nearly the same meaning is unknown, not absent."""

import numpy as np
from scipy.sparse import csr_array

from engine.training.datasets.base import Split, file_names
from engine.training.near import forget_near_negatives

VECTORS = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)  # dog, puppy, car


def split(labels, complete=True):
    labels = np.array(labels, np.int8)
    names = file_names(f"{i}.jpg" for i in range(len(labels)))
    return Split("/", names, csr_array(np.maximum(labels, 0) if complete else labels), complete)


def test_only_absent_tags_near_to_a_present_one_become_unknown():
    found = forget_near_negatives(split([[1, -1, -1], [-1, -1, 1], [-1, -1, -1]]), VECTORS, cosine=0.7)
    np.testing.assert_array_equal(found.labels(), [[1, 0, -1], [-1, -1, 1], [-1, -1, -1]])


def test_what_was_unknown_stays_unknown_and_what_was_present_stays_present():
    found = forget_near_negatives(split([[1, 1, 0], [0, -1, 0]], complete=False), VECTORS, cosine=0.7)
    np.testing.assert_array_equal(found.labels(), [[1, 1, 0], [0, -1, 0]])


def test_a_zero_vector_is_near_to_nothing():
    vectors = VECTORS.copy()
    vectors[0] = 0
    found = forget_near_negatives(split([[1, -1, -1]]), vectors, cosine=0.1)
    np.testing.assert_array_equal(found.labels(), [[1, -1, -1]])
