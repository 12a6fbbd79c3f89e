"""Figures that others published for the two protocols, to be shown beside ours.

Only what was read in its source is here. The paper is Narayan et al., ICCV 2021, arXiv 2108.09301; “official log” is
`paper_logs/` of github.com/akshitac8/BiAM. DualCoOp and RAM are left out: their test sets are filtered.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """A row: mAP and F1@K in percent, by setting."""

    method: str
    backbone: str
    map: dict[str, float]
    f1: dict[str, dict[int, float]] = field(default_factory=dict)
    note: str = ""


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "nus-wide": (
        Published(
            "BiAM, official log, last stage, epoch 4",
            "VGG-19",
            {"ZSL": 26.4, "GZSL": 9.6},
            {"ZSL": {3: 33.2, 5: 30.1}, "GZSL": {3: 16.0, 5: 18.9}},
            "from epoch to epoch the log swings by 1.3 mAP and 2 F1@3",
        ),
        Published("BiAM, paper", "VGG-19", {"ZSL": 26.3}, {"ZSL": {3: 33.1, 5: 30.7}}),
        Published("ML-Decoder", "TResNet", {"ZSL": 31.1}),
        Published("MKT", "CLIP ViT-B/16", {"ZSL": 37.6}),
    ),
    "open-images": (
        Published(
            "BiAM, paper",
            "VGG-19",
            {"ZSL": 73.6, "GZSL": 84.5},
            note="looks like the weighted mean of the official script's own AP; in the official log that of ZSL lies "
            "in 65.8–77.2, and its plain mean in 61.7–67.1",
        ),
    ),
}
