"""What is known of models beside a dataset: joined where names agree, refused where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from morelli.errors import DatasetError, ReservedNameError, UnknownNameError
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.model_table import join_models, read_model_table
from morelli.types import Item


def item(model: str, **known: str) -> Item:
    return Item(Path(f"{model}.png"), f"{model}.png", model, known.pop("family", model), **known)


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "models.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_cells_are_joined_and_empty_ones_change_nothing(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '\ufeffmodel,decoder,base,note\na, shared ,root,"who says so, and where"\nb,,,\nc,shared,,\n',
    )
    data = Dataset(
        tmp_path, (item("a", family="k"), item("b", base="own", decoder="mine"), item("c"), item("a", family="k"))
    )
    (joined,) = join_models([data], read_model_table(path))
    assert [(i.model, i.family, i.base, i.decoder) for i in joined.items] == [
        ("a", "k", "root", "shared"),
        ("b", "b", "own", "mine"),
        ("c", "c", "", "shared"),
        ("a", "k", "root", "shared"),
    ]
    assert data.items[0].decoder == ""


def test_a_family_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "family,model\nx,a\n,b\n")
    (joined,) = join_models([Dataset(tmp_path, (item("a"), item("b")))], read_model_table(path))
    assert [i.family for i in joined.items] == ["x", "b"]


def test_models_of_either_of_two_datasets_may_have_rows(tmp_path: Path) -> None:
    table = read_model_table(write(tmp_path, "model,base\na,root\nb,root\n"))
    one, two = Dataset(tmp_path, (item("a"),)), Dataset(tmp_path, (item("b"),))
    assert [data.items[0].base for data in join_models([one, two], table)] == ["root", "root"]
    with pytest.raises(UnknownNameError, match="no model of the dataset is called 'b'"):
        join_models([one], table)


def test_a_model_without_a_row_is_named_with_the_nearest(tmp_path: Path) -> None:
    table = read_model_table(write(tmp_path, "model,base\nsdxl-bose,root\n"))
    with pytest.raises(UnknownNameError, match=r"'sdxl-base'.*Did you mean 'sdxl-bose'.*Give it a row"):
        join_models([Dataset(tmp_path, (item("sdxl-base"),))], table)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DatasetError, "needs a column model"),
        ("model\na\n", DatasetError, "one of family, base, decoder"),
        ("base,decoder\nr,d\n", DatasetError, "needs a column model"),
        ("model,base,decodr\na,,\n", UnknownNameError, "Did you mean 'decoder'"),
        ("model,base,base\na,,\n", DatasetError, "base twice"),
        ("model,base\n", DatasetError, "names no model"),
        ("model,base\na\n", DatasetError, r"line 2: has 1 fields where the header has 2"),
        ("model,base\na,x,y\n", DatasetError, "double quotes"),
        ("model,base\n,x\n", DatasetError, "line 2: has no model"),
        ("model,base\na,x\na,y\n", DatasetError, "line 3: 'a' has a second row"),
        ("model,base\na,None\n", ReservedNameError, "leave it out where there is none"),
        ('model,base\n"a,x\n', DatasetError, "no CSV file"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_model_table(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_model_table(tmp_path / "absent.csv")
    with pytest.raises(DatasetError, match="UTF-8"):
        read_model_table(write(tmp_path, "model,base\né,x\n", "latin-1"))


@pytest.mark.realdata
def test_the_table_of_the_stored_models_fits_them(data_dir: Path) -> None:
    """Every stored model has a row, and lineages do not cross decoders."""
    table = read_model_table(Path(__file__).parents[2] / "benchmarks" / "fingerprint" / "sdnext_models.csv")
    (joined,) = join_models([read_dataset(data_dir / "sdnext")], table)
    known = {i.model: (i.base, i.decoder) for i in joined.items}
    assert len(known) == 41
    decoders: dict[str, set[str]] = {}
    for base, decoder in known.values():
        decoders.setdefault(base, set()).add(decoder)
    assert {base: names for base, names in decoders.items() if base} == {
        "SDXL": {"SDXL-VAE"},
        "FLUX.1": {"FLUX-VAE"},
        "HunyuanDiT": {"SDXL-VAE"},
        "Qwen-Image": {"Wan2.1-VAE"},
        "Playground v2.5": {""},
    }
