from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from morelli.encoders import catalogue
from morelli.encoders.base import Encoder
from morelli.encoders.catalogue import CATALOGUE, DEFAULT_ENCODER, REGISTRY, encoder_names, load_encoder
from morelli.errors import InputError, MissingExtraError, MorelliError, UnknownNameError, WeightsError
from tests.encoders.checkpoints import save_checkpoint
from tests.encoders.toys import ToyEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("dinov2", tmp_path_factory.mktemp("with@sign") / "net")


def test_names_and_catalogue_agree() -> None:
    assert DEFAULT_ENCODER in encoder_names()
    ids = [info.id for info in CATALOGUE]
    assert len(set(ids)) == len(ids)
    assert {info.id for info in CATALOGUE if info.offline} <= set(encoder_names())
    assert all(info.id.startswith("hf:") for info in CATALOGUE if not info.offline)
    assert all(info.licence and info.megabytes > 0 and info.description.endswith(".") for info in CATALOGUE)


def test_a_folder(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert isinstance(encoder, Encoder)
    assert encoder.stamp.encoder == str(folder.resolve())


def test_layers_after_the_last_at_sign(folder: Path) -> None:
    encoder = load_encoder(f"{folder}@block2/mean, pooled")
    assert list(encoder.stamp.dims) == ["block2/mean", "pooled"]
    # What a gallery writes down loads the same encoder again.
    assert load_encoder(encoder.stamp.encoder).stamp == encoder.stamp
    for bad in ("@", "@pooled,", "@,pooled"):
        with pytest.raises(InputError, match="after @"):
            load_encoder(f"{folder}{bad}")


def test_a_hub_id_in_the_cache_loads_by_its_stamp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = "f" * 40
    repository = tmp_path / "models--morelli-test--net"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    save_checkpoint("dinov2", repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load_encoder("hf:morelli-test/net@pooled")
    assert (encoder.stamp.encoder, encoder.stamp.revision) == ("hf:morelli-test/net@pooled", "f" * 16)
    assert load_encoder(encoder.stamp.encoder).stamp == encoder.stamp


@pytest.mark.parametrize(
    ("spec", "suggestion"),
    [
        ("efficientnet-lite", "efficientnet-lite0"),
        ("EfficientNet-Lite2", "efficientnet-lite2"),
        ("facebook/dinov2-smal", "write hf:facebook/dinov2-smal"),
        ("hf:facebook/dinov2-small ", None),
    ],
)
def test_unknown_names(spec: str, suggestion: str | None) -> None:
    if suggestion is None:
        with pytest.raises(InputError, match="hf:ORG/NAME"):
            load_encoder(spec)
        return
    with pytest.raises(UnknownNameError, match=suggestion):
        load_encoder(spec)


def test_what_is_known_is_listed_once() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_encoder("nosuch")
    assert str(caught.value).count("efficientnet-lite0") == 1


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_encoder(str(tmp_path))
    with pytest.raises(WeightsError, match="no such folder"):
        load_encoder(str(tmp_path / "absent"))
    with pytest.raises(WeightsError, match="no such folder"):
        load_encoder("./absent@pooled")


def test_a_third_party_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY._loaded, "toy", ToyEncoder)
    monkeypatch.setitem(REGISTRY._loaded, "broken", dict)
    assert "toy" in encoder_names()
    assert isinstance(load_encoder("toy"), ToyEncoder)
    with pytest.raises(MorelliError, match="does not make an encoder"):
        load_encoder("broken")


def test_without_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("morelli.encoders.transformers_vision", "morelli.encoders.vision_tower"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[transformers\]"):
        load_encoder(str(folder))


def test_light_imports() -> None:
    code = (
        "import sys; import morelli.encoders.catalogue, morelli.encoders.cache, morelli.encoders.embed, "
        "morelli.encoders.weights, morelli.testing.encoders; "
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert catalogue.GROUP == "morelli.encoders"
