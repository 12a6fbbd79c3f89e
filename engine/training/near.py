"""Tags that nobody wrote down although they fit.

Who tags a photo "puppy" seldom adds "dog", "pet" and "animal". Such tags are not absent, and a loss that ranks them
below the one that was written teaches the opposite of what the words mean. So where a tag is missing but close in
meaning to one that is there, it counts as unknown.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from engine.library.region_map import Array
from engine.training.datasets.base import Split


def forget_near_negatives(split: Split, vectors: Array, cosine: float) -> Split:
    """The split without those absent tags whose label vector is nearer than `cosine` to a present one's.

    `vectors` (C, d) are the unit label vectors of the split's columns.
    """
    close = (vectors @ vectors.T > cosine).astype(np.float32)
    labels = split.labels()
    near = (labels > 0).astype(np.float32) @ close > 0
    labels[(labels < 0) & near] = 0
    return replace(split, annotations=csr_array(labels), complete=False)
