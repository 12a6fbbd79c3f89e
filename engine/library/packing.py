"""Numbers of 4 bits, packed so that a scan meets four dimensions of a region in one instruction, regions side by side.

Byte 4·r + j of group g holds dimension 4·g + j of region r in its low half and of region r + ceil(R / 2) in its high
half. Dimensions are padded to whole groups.
"""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def packed_shape(regions: int, dims: int) -> tuple[int, int]:
    """Groups, and bytes in a group, of one photo."""
    return -(-dims // 4), 4 * -(-regions // 2)


def pack(values: NDArray[np.integer]) -> Bytes:
    """Pack numbers (N, R, D) of 0…15: (N, G, 4·ceil(R / 2))."""
    count, regions, dims = values.shape
    groups, width = packed_shape(regions, dims)
    whole = np.zeros((count, width // 2, 4 * groups), np.uint8)
    whole[:, :regions, :dims] = values
    both = whole[:, : width // 4] | whole[:, width // 4 :] << 4  # (N, ceil(R / 2), 4·G)
    by_group = both.reshape(count, width // 4, groups, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_group).reshape(count, groups, width)


def unpack(packed: Bytes, regions: int, dims: int) -> Bytes:
    """The inverse: numbers (N, R, D)."""
    count, groups, width = packed.shape
    both = packed.reshape(count, groups, width // 4, 4).transpose(0, 2, 1, 3).reshape(count, width // 4, 4 * groups)
    return np.concatenate([both & 15, both >> 4], axis=1)[:, :regions, :dims]
