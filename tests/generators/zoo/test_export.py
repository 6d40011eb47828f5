"""The run's export folder and what is published from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training.zoo.cards import BEGIN, END, write_cards
from training.zoo.export import note, publish, read_entries

from morelli.generators.zoo.manifest import read_manifest

RECORD = {
    "steps": 5,
    "images": 320,
    "seconds": 120,
    "cpu_seconds": 60,
    "device": "cpu",
    "agreement": {"objects": 0.81, "colours": 0.92, "counts": 0.83, "relations": 0.94},
    "prompts": 64,
}


def entry(**components: str) -> dict[str, Any]:
    return {
        "kind": "gan",
        "family": "gan",
        "base": "gan",
        "architecture": "convolutions",
        "parameters": 1_250_000,
        "components": components,
        "settings": {"width": 64, "height": 64},
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run with a text tower and two generators that share it."""
    for name, files in {"text": ["clip/a"], "gan": ["gan/b"], "unet": ["unet/unet/c", "unet/scheduler/d"]}.items():
        made = tmp_path / "made" / name
        for file in files:
            (made / file).parent.mkdir(parents=True, exist_ok=True)
            (made / file).write_text(file)
        own = {"unet": "unet/unet", "scheduler": "unet/scheduler"} if name == "unet" else {"network": "gan"}
        model = {} if name == "text" else {"model": entry(**own, text_encoder="clip")}
        note(tmp_path, name, made, training=RECORD, **model)
    return tmp_path


def test_files_move_to_their_places_and_are_listed(out: Path) -> None:
    manifest = read_manifest.__wrapped__(out / "export")
    assert set(manifest.files) == {"clip/a", "gan/b", "unet/unet/c", "unet/scheduler/d"}
    assert list(manifest.models) == ["gan", "unet"]
    manifest.check("clip", "gan", "unet/unet", "unet/scheduler")
    assert not (out / "made" / "gan").exists()


def test_news_of_a_part_keep_the_rest(out: Path) -> None:
    note(out, "gan", training={**RECORD, "steps": 9})
    entries = read_entries(out)
    assert entries["gan"]["training"]["steps"] == 9
    assert entries["gan"]["model"]["components"]["network"] == "gan"
    assert read_manifest.__wrapped__(out / "export").models["gan"].training["steps"] == 9


def test_only_what_is_asked_for_is_published(out: Path, tmp_path: Path) -> None:
    target = tmp_path / "weights"
    (target / "old").mkdir(parents=True)
    (target / "old" / "x").write_text("x")
    size = publish(out, target, ["gan"])
    manifest = read_manifest.__wrapped__(target)
    assert set(manifest.files) == {"clip/a", "gan/b"}
    assert list(manifest.models) == ["gan"]
    assert manifest.revision("gan") == read_manifest.__wrapped__(out / "export").revision("gan")
    assert size == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def test_cards_hold_the_records_figures(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.zoo.cards.draw_sheet", lambda *_: None)
    page = out / "zoo.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_cards(read_manifest.__wrapped__(out / "export"), {"text": RECORD}, page, out / "zoo.png")
    text = page.read_text(encoding="utf-8")
    assert "| `gan` | `gan` | 1.25 M | 0.81 | 0.92 | 0.83 | 0.94 | 64 |" in text
    assert "320 pictures in 5 steps, 1 minutes of one CPU core" in text
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold"):
        write_cards(read_manifest.__wrapped__(out / "export"), {}, page, out / "zoo.png")
