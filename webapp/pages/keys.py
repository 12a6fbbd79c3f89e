"""What each key does."""

from flask import render_template

KEYS = (
    ("keys_everywhere", (("/", "key_to_box"), ("Esc", "key_back"), ("?", "key_keys"))),
    (
        "keys_photos",
        (
            ("← → ↑ ↓", "key_move_between"),
            ("Enter", "key_open"),
            ("h", "key_heat"),
            ("+ −", "key_judge"),
            ("u", "key_take_back"),
        ),
    ),
    ("keys_photo", (("← →", "key_turn"), ("h", "key_hide"), ("r", "key_region"), ("+ −", "key_judge"))),
    ("explore", (("r", "key_others"),)),
)


def keys() -> str:
    """All keys, by the page that they work on."""
    return render_template("keys.html", keys=KEYS)
