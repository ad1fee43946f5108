"""Which scenes of Replica are for training, validation and test."""

REPLICA_SPLITS = {
    "train": (
        "frl_apartment_0", "frl_apartment_1", "apartment_0", "apartment_1", "office_1", "office_3", "office_4",
        "room_0", "room_2", "hotel_0",
    ),
    "val": ("apartment_2", "office_0", "frl_apartment_2", "frl_apartment_3"),
    "test": ("room_1", "office_2", "frl_apartment_4", "frl_apartment_5"),
}  # fmt: skip
"""Omnidata's split of Replica's scenes."""
