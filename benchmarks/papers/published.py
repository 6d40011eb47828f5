"""The papers' own figures: on their data, under their protocols, and so in columns of their own."""

from __future__ import annotations

#: Paper 000's main table: top-1, top-2, top-3 in percent. 22 models, 280 prompts, k = 30, prompt known.
MAIN: dict[str, tuple[float, float, float]] = {
    "marra": (24.40, 31.20, 36.50),
    "dzanic": (11.79, 21.57, 28.43),
    "resnet50": (54.86, 67.00, 72.86),
    "mlp-image": (43.00, 55.86, 63.36),
    "mlp-image-text": (42.50, 57.71, 65.50),
    "euclid": (90.86, 96.14, 97.50),
}
#: Paper 002's table VIII: accuracy and F1 in percent; (classical, seen in training), (emerging, unseen).
IDENTIFICATION: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "marra": ((61.00, 55.01), (26.72, 22.33)),
    "yu": ((96.28, 96.27), (31.93, 30.67)),
    "dna-det": ((98.55, 98.55), (47.41, 46.60)),
    "repmix": ((94.34, 94.29), (26.63, 25.35)),
    "pose": ((98.93, 98.93), (49.80, 48.87)),
    "cosine, fingerprint": ((96.71, 96.70), (93.20, 93.11)),
    "cosine, fingerprint (median, fine-tuned)": ((99.88, 99.89), (94.02, 93.97)),
}
#: Its table IX: accuracy at the best threshold for the pairs themselves, and AUC, in percent.
VERIFICATION: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "marra": ((66.10, 68.99), (59.37, 59.46)),
    "yu": ((96.80, 99.27), (63.84, 68.97)),
    "dna-det": ((99.31, 99.94), (69.64, 77.54)),
    "repmix": ((99.15, 97.44), (61.09, 57.92)),
    "pose": ((98.76, 99.91), (66.94, 72.85)),
    "cosine, fingerprint": ((92.01, 96.90), (85.88, 92.66)),
    "cosine, fingerprint (median, fine-tuned)": ((99.21, 99.93), (85.62, 92.55)),
}
#: Paper 001: accuracy in percent on four models, for its own method. Its other conditions are attacks whose order the
#: text at hand does not give, so that only the range is quoted.
REGENERATION = {"none": "92.6", "attacked": "90.7–95.3"}
#: What the plug-in adds there, in points.
PLUGIN = "+3 to +5"


def triple(method: str) -> str:
    """Table 000's figures of a method as text, "" where it has none."""
    found = MAIN.get(method)
    return " / ".join(f"{value:.2f}" for value in found) if found else ""


def pair(table: dict[str, tuple[tuple[float, float], tuple[float, float]]], method: str, group: str) -> str:
    """Two figures of table 002 for a group as text, "" where it has none."""
    found = table.get(method)
    return " / ".join(f"{value:.2f}" for value in found[group == "unseen"]) if found else ""
