"""The built-in presets: three contexts in three sizes, and trained ones."""

import pathlib

# Frames that a context is learned for, and its tubelet.
_CONTEXTS = {
    "image": {"num_frames": 1, "tubelet_size": (1, 16, 16)},
    "short": {"num_frames": 16, "tubelet_size": (2, 16, 16)},
    "long": {"num_frames": 256, "tubelet_size": (2, 16, 16)},
}

# base and large are ViT-B/16 and ViT-L/16; tiny is for small pictures, tests
# and learning the ropes.
_SIZES = {
    "tiny": {
        "image_shape": (64, 64, 3),
        "hidden_dim": 128,
        "num_layers": 4,
        "num_heads": 2,
        "intermediate_dim": 512,
    },
    "base": {
        "image_shape": (256, 256, 3),
        "hidden_dim": 768,
        "num_layers": 12,
        "num_heads": 12,
        "intermediate_dim": 3072,
    },
    "large": {
        "image_shape": (256, 256, 3),
        "hidden_dim": 1024,
        "num_layers": 24,
        "num_heads": 16,
        "intermediate_dim": 4096,
    },
}

_DESCRIPTIONS = {
    "image": "Frame-level ViT over single pictures",
    "short": "Joint space-time attention over short clips",
    "long": "Joint space-time attention over long videos",
}

# Folders that `tools/package_preset.py` wrote, part of the installed package.
# Whatever lies there is a preset by the folder's name; hidden ones are what an
# interrupted packaging left.
_PACKAGED = pathlib.Path(__file__).parents[2] / "presets"

# "handle" names the weights: a folder or a handle of the Hub; None until there
# are some. A folder has its own config.
vivit_presets = {
    f"{context}_vivit_{size}": {
        "description": f"{_DESCRIPTIONS[context]}, size {size}.",
        "handle": None,
        "config": {**_SIZES[size], **_CONTEXTS[context]},
    }
    for context in _CONTEXTS
    for size in _SIZES
}
vivit_presets |= {
    config.parent.name: {
        "description": "Trained. Its README.md says on what, and how well.",
        "handle": config.parent,
    }
    for config in _PACKAGED.glob("[!.]*/config.json")
}
