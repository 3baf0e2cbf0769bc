"""One tiny network of every kind, for the tests of what all have in common."""

from cairn.config.networks import parse_network

TINY = {
    "residual": {"channels": [4, 6, 8], "blocks": [0, 1, 2]},
    "unet": {"kind": "unet", "width": 4, "levels": 3},
    "unet strided": {"kind": "unet", "width": 4, "levels": 3, "downsampling": "strided"},
    "mednext": {"kind": "mednext", "width": 4, "blocks": [1, 2, 1], "expansion": [2, 3, 2]},
    "swin": {"kind": "swin", "width": 6, "depths": [2, 2], "heads": [1, 2], "window": 3},
    "swin v2": {"kind": "swin", "width": 6, "depths": [2, 1], "heads": [1, 2], "window": 3, "convolutions": True},
    "vit": {"kind": "vit", "width": 12, "depth": 2, "heads": 2},
    "primus": {
        "kind": "vit", "width": 24, "depth": 2, "heads": 2, "feed_forward": "swiglu", "mlp_ratio": 2.5,
        "position": "learned", "position_grid": [2, 3, 2], "rotary": True, "layer_scale": 0.1, "registers": 3,
    },
}  # fmt: skip
NETWORKS = {name: parse_network(section) for name, section in TINY.items()}
