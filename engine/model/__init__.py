"""BiAM, backbones, bundles and the encoder: pixels to region maps."""
