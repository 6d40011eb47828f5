"""Pictures that choices of this project were made on: the data set that holds one is told so, whatever it is called."""

from __future__ import annotations

from benchmarks.papers.sources import Source, content, read_source

#: First digits of the SHA-256 of one picture of each prompt's, the first by name.
SEEN = frozenset([
    # visor
    "041097559d", "04f471fdf7", "0cfee64449", "148f4f9ab0", "16c9737bf3", "178c1c45df", "1bf4c7d3ec", "1f35e09b75",
    "298413f5ae", "2ae22fe181", "2c17eff36d", "324474f985", "37f28b0c18", "38413718a5", "3933789b47", "48d0387f62",
    "4d9b120c23", "502fb3a68c", "5033aa6ed6", "53d07ca27a", "55fbf2578d", "56f43cd64e", "5a9960f578", "5fd1b08cbc",
    "671d720c97", "67613a9844", "68429fcf64", "7190003006", "7c8be2bb26", "7e3bae23a4", "7ef238174b", "8088e72bd6",
    "8172bc13c2", "83e14c3af1", "868b2d1dcb", "8a44358229", "8b8ef37215", "8e13e506ef", "9e19356e4e", "a259b4d36c",
    "b21d4538a0", "b674a1954d", "b8db20a80a", "bd29f3d2d0", "bd4c04389e", "c5174b6e62", "c5ed7ea497", "cbf4fbcf24",
    "ce1bc996ff", "cf680bea46", "d9e73e46a0", "dc36cf01fa", "e7ac6eef96", "ec24c296dd", "ed4ff3a7da", "ee79e6d3fe",
    "ee886e1964", "ee90780b23", "f1a0a1376f", "f4d49d262d",
    # sdnext
    "396224c1c2", "5f7d5d8e3d", "6216b537b0", "68e0361a8e", "7483981650", "76e9ba3827", "8ecec19a8f", "a6d370f918",
    "b0fc8bab0b", "bcd5dfd72a", "c66ad69042", "cf5aeb3785", "d34f48adc0", "fe11af55fc",
])  # fmt: skip
_DIGITS = 10


def is_chosen_on(source: Source) -> bool:
    """Whether a data set holds a picture that views, layers or constants were chosen on."""
    items = {}
    for item in sorted(read_source(source.folder, source.prompts).items, key=lambda item: item.name):
        items.setdefault(item.prompt_id, item)
    return any(content(item.path)[:_DIGITS] in SEEN for item in items.values())
