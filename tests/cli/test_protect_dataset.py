"""``morelli protect DATASET``: a dataset in, a dataset out, taken up where it was left, nothing replaced unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.cli import main
from morelli.defence.canonical import canonical
from morelli.encoders import catalogue
from morelli.images.dataset import read_dataset
from morelli.protect import prompts_of
from morelli.testing.datasets import write_dataset
from morelli.types import Item, Reference

from ..defence.test_protect import gallery_of
from ..defence.toys import GrainEncoder

QUICK = ("--method", "euclid", "--steps", 3, "--epsilon", 3)
PLAIN = ("--method", "euclid", "--defence", "canonical")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=4, seeds=3, size=40)).items


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...]) -> Path:
    return gallery_of(tmp_path_factory.mktemp("g") / "g", [i for i in items if i.seed != 2], GrainEncoder())


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    monkeypatch.setattr("morelli.protect.DEFAULT_ENCODER", "grain")
    catalogue.REGISTRY.add("grain", GrainEncoder)
    yield
    del catalogue.REGISTRY._loaded["grain"]


@pytest.fixture
def dataset(tmp_path: Path, items: tuple[Item, ...]) -> Path:
    """One image of each model and prompt, with metadata that name more than Morelli needs; two of them JPEG."""
    root = tmp_path / "shown"
    lines = ["file_name,model,family,prompt_id,prompt,seed,source,licence,category"]
    for number, item in enumerate(i for i in items if i.seed == 2):
        name = f"{item.model}/p {number}.{'jpg' if number < 2 else 'png'}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(item.path) as image:
            image.save(root / name)
        lines.append(f'{name},{item.model},kin,{item.prompt_id},{item.prompt},2,"here, once",CC0-1.0,odd')
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def run(gallery: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``morelli protect``: exit status, stdout, stderr."""

    def run(*arguments: object, of: Path = gallery) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["protect", *map(str, arguments), "--gallery", str(of)])
        return status, *capsys.readouterr()

    return run


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*.png")}


def test_metadata_are_carried_over(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    before = {path: path.read_bytes() for path in dataset.rglob("*.*")}
    status, text, err = run(dataset, "--out", out, *QUICK, "--json")
    assert status == 0, err
    *reports, told = map(json.loads, text.splitlines())
    old, new = read_dataset(dataset), read_dataset(out)
    assert new.notes == ()
    for one, other in zip(old.items, new.items, strict=True):
        assert other.name == str(Path(one.name).with_suffix(".png"))
        assert replace(other, path=one.path, name=one.name) == one
        away = np.abs(pixels(other.path) - pixels(one.path))
        assert 1 <= away.max() <= 3
    assert {each["image"] for each in reports} == {str(item.path) for item in old.items}
    assert {each["model"]["from"] for each in reports} == {"told"}
    by_image = {each["image"]: each for each in reports}
    assert [by_image[str(item.path)]["model"]["name"] for item in old.items] == [item.model for item in old.items]
    assert (told["schema"], told["images"], told["made"], told["there"], told["failed"]) == (
        "morelli.protect-dataset/1", 12, 12, 0, 0,
    )  # fmt: skip
    for when, share in told["top1"].items():
        assert share == pytest.approx(np.mean([each[when]["rank"] == 1 for each in reports]))
    assert told["psnr"] == pytest.approx(np.mean([each["quality"]["psnr"] for each in reports]))
    assert before == {path: path.read_bytes() for path in dataset.rglob("*.*")}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_other_commands_read_it(run, dataset: Path, tmp_path: Path, items: tuple[Item, ...], capsys) -> None:
    assert run(items[0].path.parents[1], "--out", tmp_path / "all", *PLAIN)[0] == 0
    asked = ("--method", "euclid", "--encoder", "grain", "--json")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "all"), "--protocol", "same-prompt", *asked]) == 0
    assert json.loads(capsys.readouterr()[0])["n_queries"] == len(items)
    assert main(["exposure", str(tmp_path / "all"), "--no-sweeps", "--simulations", "5", *asked]) == 0
    assert json.loads(capsys.readouterr()[0])["n_images"] == len(items)


def test_it_goes_on_where_it_stopped(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *QUICK)[0] == 0
    whole, log, rows = snapshot(out), (out / "protected.jsonl").read_text(), (out / "metadata.csv").read_text()
    # As a process leaves it that was killed after a report, before its image, and in the middle of a row.
    lines = log.splitlines(keepends=True)
    last, gone = json.loads(lines[-1]), json.loads(lines[-2])
    (out / "protected.jsonl").write_text("".join(lines[:-1]) + lines[-1][:40])
    (out / "metadata.csv").write_text(rows[:-20])
    for report in (last, gone):
        Path(report["output"]).unlink()
    status, text, err = run(dataset, "--out", out, *QUICK)
    assert status == 0, err
    assert "12 images, 2 made, 10 there already, 0 failed" in text
    after = snapshot(out)
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in whole.items()}
    assert sum(after[name] == whole[name] for name in whole) == 10
    assert (out / "metadata.csv").read_text() == rows
    assert len((out / "protected.jsonl").read_text().splitlines()) == 13
    # Nothing is left to do, and nothing is touched.
    assert "0 made, 12 there already" in run(dataset, "--out", out, *QUICK)[1]
    assert snapshot(out) == after


def test_an_original_that_changed_is_protected_anew(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *PLAIN)[0] == 0
    item = read_dataset(dataset).items[5]
    Image.fromarray(np.full((40, 40, 3), 7, np.uint8)).save(item.path)
    assert "1 made, 11 there already" in run(dataset, "--out", out, *PLAIN)[1]
    made = read_dataset(out).items[5]
    np.testing.assert_array_equal(pixels(made.path), canonical(pixels(item.path).astype(np.uint8)))


def test_nothing_is_replaced_unless_asked(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *PLAIN)[0] == 0
    before = snapshot(out)
    status, text, err = run(dataset, "--out", out, *QUICK)
    assert (status, text) == (1, "")
    assert "protected otherwise (defence" in err
    assert snapshot(out) == before
    # A picture that somebody edited since is not ours any more.
    mine = read_dataset(out).items[3].path
    mine.write_bytes(b"mine")
    assert "exists already" in run(dataset, "--out", out, *PLAIN)[2]
    assert mine.read_bytes() == b"mine"
    assert run(dataset, "--out", out, *QUICK, "--overwrite")[0] == 0
    assert mine.read_bytes() != b"mine"
    assert len(read_dataset(out).items) == 12
    other = tmp_path / "other"
    other.mkdir()
    (other / "metadata.csv").write_text("mine")
    assert "exists already" in run(dataset, "--out", other, *PLAIN)[2]
    assert (other / "metadata.csv").read_text() == "mine"
    assert "not from here" in run(dataset, "--out", other, *PLAIN, "--overwrite")[2]
    assert (other / "metadata.csv").read_text() == "mine"
    (other / "metadata.csv").unlink()
    for text in ("1\n", '{"schema": "morelli.protect-run/1"}\n{}\n', "[]\n"):
        (other / "protected.jsonl").write_text(text)
        assert run(dataset, "--out", other, *PLAIN)[0] == 1
        assert run(dataset, "--out", other, *PLAIN, "--overwrite")[0] == 1
        assert (other / "protected.jsonl").read_text() == text


def test_a_second_metadata_file_is_never_left_beside_ours(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *PLAIN)[0] == 0
    (out / "metadata.jsonl").write_text("{}\n")
    for more in ((), ("--overwrite",)):
        status, _, err = run(dataset, "--out", out, *PLAIN, *more)
        assert (status, "metadata.jsonl" in err) == (1, True)
    (out / "metadata.jsonl").unlink()
    (out / "metadata.csv").unlink()  # killed while it began anew
    assert run(dataset, "--out", out, *PLAIN, "--overwrite")[0] == 0
    assert len(read_dataset(out).items) == 12


def test_a_kill_between_report_and_image_is_mended(run, dataset: Path, tmp_path: Path) -> None:
    """Of an original that changed: the older image is still ours, and is made anew."""
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *PLAIN)[0] == 0
    older = (out / "protected.jsonl").read_text()
    image = read_dataset(out).items[5].path
    before = image.read_bytes()
    Image.fromarray(np.full((40, 40, 3), 7, np.uint8)).save(read_dataset(dataset).items[5].path)
    assert "1 made" in run(dataset, "--out", out, *PLAIN)[1]
    newer = (out / "protected.jsonl").read_text().splitlines()[6]
    (out / "protected.jsonl").write_text(older + newer + "\n")
    image.write_bytes(before)
    assert "1 made, 11 there already" in run(dataset, "--out", out, *PLAIN)[1]
    assert image.read_bytes() != before


def test_an_image_of_an_original_that_changed_is_not_listed_as_protected(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *PLAIN)[0] == 0
    read_dataset(dataset).items[5].path.write_bytes(b"no picture")
    status, text, _ = run(dataset, "--out", out, *PLAIN, "--json")
    told = json.loads(text.splitlines()[-1])
    assert (status, told["failed"]) == (1, 1)
    assert len(read_dataset(out).items) == 11


def test_an_image_that_fails_is_left_out_and_tried_again(run, dataset: Path, tmp_path: Path) -> None:
    bad = read_dataset(dataset).items[4].path
    good = bad.read_bytes()
    bad.write_bytes(b"no picture")
    out = tmp_path / "protected"
    status, text, err = run(dataset, "--out", out, *PLAIN, "--json")
    told = [json.loads(line) for line in text.splitlines()]
    assert status == 1
    assert [each["image"] for each in told if each["schema"] == "morelli.error/1"] == [str(bad)]
    assert told[-1]["failed"] == 1
    assert bad.name in err
    assert len(read_dataset(out).items) == 11
    bad.write_bytes(good)
    assert "1 made, 11 there already, 0 failed" in run(dataset, "--out", out, *PLAIN)[1]
    assert [item.name for item in read_dataset(out).items] == [
        str(Path(item.name).with_suffix(".png")) for item in read_dataset(dataset).items
    ]


def test_sub_folders_name_the_models(run, dataset: Path, tmp_path: Path) -> None:
    (dataset / "metadata.csv").unlink()
    status, text, err = run(dataset, "--out", tmp_path / "o", *PLAIN, "--json")
    assert status == 0, err
    reports = [json.loads(line) for line in text.splitlines()][:-1]
    assert all(each["model"] == {"name": Path(each["image"]).parent.name, "from": "told"} for each in reports)
    assert len(reports) == 12
    # Pictures that lie in the folder itself are pictures still.
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(next(dataset.rglob("*.png")), flat / "one.png")
    assert run(flat, "--out", tmp_path / "p", *PLAIN)[0] == 0
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["one.png", "reports.jsonl"]


def test_prompts_that_the_gallery_lacks_are_told(run, dataset: Path, tmp_path: Path) -> None:
    text = (dataset / "metadata.csv").read_text().replace(",002,", ",elsewhere,")
    (dataset / "metadata.csv").write_text(text.replace("scene 2", "scene nobody knows"))
    status, out, err = run(dataset, "--out", tmp_path / "o", *QUICK, "--json")
    assert status == 0, err
    *reports, told = map(json.loads, out.splitlines())
    without = [each["image"] for each in reports if any("compared without the prompt" in n for n in each["notes"])]
    assert sorted(without) == sorted(str(i.path) for i in read_dataset(dataset).items if i.prompt_id == "elsewhere")
    assert [(note.split()[0], count) for note, count in told["notes"].items()] == [
        ("Judged", 12), ("It", 12), ("The", 3),
    ]  # fmt: skip


def reference(prompt_id: str, prompt: str) -> Reference:
    return Reference("0", "", "x.png", "m", "m", prompt_id=prompt_id, prompt=prompt)


@pytest.mark.parametrize(
    ("prompt_id", "prompt", "found"),
    [
        ("001", "a red car", ("001",)),
        ("001", "", ("001",)),
        ("", "a red car", ("001",)),
        ("777", "a red car", ("001",)),
        ("001", "a blue boat", ("002",)),  # the same id stands for another prompt there
        ("001", "a green tree", ()),
        ("777", "", ()),
        ("", "", ()),
    ],
)
def test_which_prompt_of_the_gallery_is_meant(prompt_id: str, prompt: str, found: tuple[str, ...]) -> None:
    held = [reference("001", "a red car"), reference("002", "a blue boat")]
    assert prompts_of(held, Item(Path("q"), "q", "m", "m", prompt_id=prompt_id, prompt=prompt)) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "model-00"), "names the model and prompt of each"),
        (("--prompt", "001"), "names the model and prompt of each"),
        (("--epsilon", "0"), "epsilon: must lie between 1 and 32"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, dataset: Path, tmp_path: Path, arguments, said: str) -> None:
    status, text, err = run(dataset, "--out", tmp_path / "o", *QUICK, *arguments)
    assert (status, text) == (1, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (tmp_path / "o").exists()


def test_datasets_that_do_not_fit(run, dataset: Path, tmp_path: Path) -> None:
    def refused(said: str, out: Path = tmp_path / "o") -> None:
        status, text, err = run(dataset, "--out", out, *QUICK)
        assert (status, text) == (1, "")
        assert said in err
        assert not (tmp_path / "o").exists()

    for place in (dataset, dataset / "inside", dataset.parent):
        refused("lie in one another", place)
    metadata = (dataset / "metadata.csv").read_text()
    (dataset / "metadata.csv").write_text(metadata.replace(",model-02,", ",model-77,"))
    refused("no model is called 'model-77'")
    (dataset / "metadata.csv").write_text(metadata)
    twin = read_dataset(dataset).items[0]
    shutil.copy(twin.path, twin.path.with_suffix(".png"))
    (dataset / "metadata.csv").write_text(metadata + f"{Path(twin.name).with_suffix('.png')},model-00,kin,,,,,,\n")
    refused("would both be written")


def test_a_sheet_of_the_first_images_lies_beside_the_folder(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    status, _, err = run(dataset, "--out", out, *PLAIN, "--sheet")
    assert status == 0
    assert f"wrote {tmp_path / 'protected-sheet.png'}" in err
    rows = len(read_dataset(dataset).items)
    assert pixels(tmp_path / "protected-sheet.png").shape == (rows * 40 + (rows - 1) * 8, 3 * 40 + 16, 3)
    assert len(read_dataset(out).items) == rows
    before = (tmp_path / "protected-sheet.png").stat().st_mtime_ns
    status, text, err = run(dataset, "--out", out, *PLAIN, "--sheet")
    assert (status, text) == (1, "")
    assert "protected-sheet.png exists already" in err
    assert (tmp_path / "protected-sheet.png").stat().st_mtime_ns == before


@pytest.mark.parametrize(("named", "place"), [(".", "here"), ("..", "here/inside")])
def test_a_folder_that_is_called_by_no_name_has_a_sheet(
    run, dataset: Path, tmp_path: Path, monkeypatch, named: str, place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / place)
    status, _, err = run(dataset, "--out", named, *PLAIN, "--sheet")
    assert status == 0, err
    assert (tmp_path / "here-sheet.png").is_file()
    assert len(read_dataset(tmp_path / "here").items) == 12
    assert "here-sheet.png exists already" in run(dataset, "--out", named, *PLAIN, "--sheet")[2]


def test_beside_the_root_of_all_folders_there_is_no_sheet(run, dataset: Path) -> None:
    status, text, err = run(dataset, "--out", "/", *PLAIN, "--sheet")
    assert (status, text) == (1, "")
    assert err.startswith("error: --sheet: ")
    assert len(err.splitlines()) == 1


def test_a_run_that_goes_on_keeps_its_secret(run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "protected"
    assert run(dataset, "--out", out, *QUICK)[0] == 0
    lines = (out / "protected.jsonl").read_text().splitlines()
    before = snapshot(out)
    gone = next(out.rglob("*.png"))
    gone.unlink()
    assert run(dataset, "--out", out, *QUICK)[0] == 0
    assert {name: data for name, (data, _) in snapshot(out).items()} == {n: data for n, (data, _) in before.items()}
    head = json.loads((out / "protected.jsonl").read_text().splitlines()[0])
    assert head == json.loads(lines[0])
    assert head["defence"]["seed"] > 0
