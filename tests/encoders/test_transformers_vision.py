"""Through our encoder, a checkpoint gives the numbers that transformers itself gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from safetensors.torch import load_file, save_file

from morelli.encoders.transformers_vision import TransformersEncoder
from morelli.errors import ArrayError, ImageError, InputError, UnknownNameError, WeightsError
from morelli.testing.encoders import check_encoder
from tests.encoders.checkpoints import DINOV3_PROCESSOR, save_checkpoint

_RNG = np.random.default_rng(5)
IMAGES = [_RNG.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((64, 64), (41, 90), (3, 5), (70, 33))]
KINDS = ("clip", "clip-tower", "siglip", "siglip2", "dinov2", "dinov2-registers", "dinov3", "vit", "convnext")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_checkpoint(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


def embeddings(encoder: TransformersEncoder, images: list[np.ndarray] = IMAGES) -> dict[str, np.ndarray]:
    return dict(encoder.encode([encoder.prepare(image) for image in images]))


def by_hand(model: Any, processor: Any, images: list[np.ndarray] = IMAGES) -> Any:
    inputs = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**inputs, output_hidden_states=True), inputs


def test_clip(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("clip")
    layers = ["projected", "pooled", "block2/cls", "block2/mean", "block6/mean", "last/cls"]
    found = embeddings(TransformersEncoder(str(folder), layers))
    processor = tf.CLIPImageProcessorPil.from_pretrained(folder)
    out, inputs = by_hand(tf.CLIPVisionModelWithProjection.from_pretrained(folder), processor)
    np.testing.assert_array_equal(found["projected"], out.image_embeds.numpy())
    inner, _ = by_hand(tf.CLIPVisionModel.from_pretrained(folder), processor)
    np.testing.assert_array_equal(found["pooled"], inner.pooler_output.numpy())
    np.testing.assert_array_equal(found["block2/cls"], out.hidden_states[2][:, 0].numpy())
    np.testing.assert_array_equal(found["block2/mean"], out.hidden_states[2][:, 1:].mean(1).numpy())
    np.testing.assert_array_equal(found["block6/mean"], out.hidden_states[6][:, 1:].mean(1).numpy())
    np.testing.assert_array_equal(found["last/cls"], out.last_hidden_state[:, 0].numpy())
    # The whole model's own way to the same vector.
    with torch.inference_mode():
        features = tf.CLIPModel.from_pretrained(folder).eval().get_image_features(**inputs)
    np.testing.assert_allclose(found["projected"], features.pooler_output.numpy(), rtol=1e-5, atol=1e-6)
    assert found["projected"].shape == (4, 24)
    assert found["projected"].dtype == np.float32


def test_siglip(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("siglip")
    found = embeddings(TransformersEncoder(str(folder), ["pooled", "block3/mean", "last/mean"]))
    model = tf.SiglipVisionModel.from_pretrained(folder)
    out, _ = by_hand(model, tf.SiglipImageProcessorPil.from_pretrained(folder))
    np.testing.assert_array_equal(found["pooled"], out.pooler_output.numpy())
    np.testing.assert_array_equal(found["block3/mean"], out.hidden_states[3].mean(1).numpy())
    np.testing.assert_array_equal(found["last/mean"], out.last_hidden_state.mean(1).numpy())


def test_siglip2_of_any_aspect_ratio(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("siglip2")
    found = embeddings(TransformersEncoder(str(folder), ["pooled", "block3/mean"]))
    model = tf.Siglip2VisionModel.from_pretrained(folder)
    out, inputs = by_hand(model, tf.Siglip2ImageProcessorPil.from_pretrained(folder))
    np.testing.assert_array_equal(found["pooled"], out.pooler_output.numpy())
    counts = inputs["pixel_attention_mask"].sum(1)
    assert len(set(counts.tolist())) > 1  # some are padded: their padding must not enter the mean
    for i, count in enumerate(counts):
        expected = out.hidden_states[3][i, : int(count)].mean(0).numpy()
        np.testing.assert_allclose(found["block3/mean"][i], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "extra"), [("dinov2", 1), ("dinov2-registers", 5), ("vit", 1)])
def test_class_and_register_tokens_are_no_patches(checkpoint: Callable[[str], Path], kind: str, extra: int) -> None:
    folder = checkpoint(kind)
    found = embeddings(TransformersEncoder(str(folder), ["pooled", "block4/cls", "block4/mean"]))
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    out, _ = by_hand(tf.AutoModel.from_pretrained(folder), processor)
    np.testing.assert_array_equal(found["pooled"], out.pooler_output.numpy())
    np.testing.assert_array_equal(found["block4/cls"], out.hidden_states[4][:, 0].numpy())
    np.testing.assert_array_equal(found["block4/mean"], out.hidden_states[4][:, extra:].mean(1).numpy())


def test_dinov3_without_torchvision(checkpoint: Callable[[str], Path]) -> None:
    """Its resize in floating point is compared with Pillow's, channel by channel, in mode F."""
    folder = checkpoint("dinov3")
    encoder = TransformersEncoder(str(folder), ["pooled", "block2/mean"])
    mean, std = (np.array(DINOV3_PROCESSOR[k])[:, None, None] for k in ("image_mean", "image_std"))
    for image in IMAGES:
        planes = [Image.fromarray(image[..., c].astype(np.float32) / 255, mode="F") for c in range(3)]
        resized = np.stack([np.asarray(p.resize((28, 28), Image.Resampling.BILINEAR)) for p in planes])
        found = encoder.prepare(image)["pixel_values"][0].numpy()
        np.testing.assert_allclose(found, (resized - mean) / std, atol=2e-5)
    inputs = torch.cat([encoder.prepare(image)["pixel_values"] for image in IMAGES])
    with torch.inference_mode():
        out = tf.DINOv3ViTModel.from_pretrained(folder).eval()(inputs, output_hidden_states=True)
    found = embeddings(encoder)
    np.testing.assert_array_equal(found["pooled"], out.pooler_output.numpy())
    np.testing.assert_array_equal(found["block2/mean"], out.hidden_states[2][:, 5:].mean(1).numpy())


def test_feature_maps(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("convnext")
    found = embeddings(TransformersEncoder(str(folder)), IMAGES[:1])
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    out, _ = by_hand(tf.ConvNextModel.from_pretrained(folder), processor, IMAGES[:1])
    assert {name: values.shape[1] for name, values in found.items()} == {
        "pooled": 24,
        "block1/mean": 8,
        "block2/mean": 12,
        "block3/mean": 16,
    }
    np.testing.assert_array_equal(found["block2/mean"], out.hidden_states[2].mean((2, 3)).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract(checkpoint: Callable[[str], Path], kind: str) -> None:
    check_encoder(TransformersEncoder(str(checkpoint(kind))))


def test_blocks_that_nobody_asked_for_are_not_read(checkpoint: Callable[[str], Path]) -> None:
    for kind in ("clip", "dinov2", "dinov3", "siglip2", "vit"):
        folder = str(checkpoint(kind))
        short, whole = (
            TransformersEncoder(folder, ["block2/mean"]),
            TransformersEncoder(folder, ["block2/mean", "last"]),
        )
        np.testing.assert_array_equal(embeddings(short)["block2/mean"], embeddings(whole)["block2/mean"])
        sizes = [sum(p.numel() for p in e._tower.model.parameters()) for e in (short, whole)]
        assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("clip", ["projected", "block2/mean", "block3/mean", "block4/mean"]),
        ("clip-tower", ["pooled", "block2/mean", "block3/mean", "block4/mean"]),
        ("dinov2", ["pooled", "block2/mean", "block3/mean", "block4/mean"]),
        ("vit-classifier", ["last/mean", "block2/mean", "block3/mean", "block4/mean"]),
    ],
)
def test_default_layers(checkpoint: Callable[[str], Path], kind: str, layers: list[str]) -> None:
    # (0.25, 0.5, 0.75) × 6 blocks = 1.5, 3, 4.5, rounded to even.
    encoder = TransformersEncoder(str(checkpoint(kind)))
    assert list(encoder.stamp.dims) == layers
    assert "@" not in encoder.stamp.encoder


def test_a_pooling_head_without_weights_is_not_offered(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(UnknownNameError, match="pooled"):
        TransformersEncoder(str(checkpoint("vit-classifier")), ["pooled"])


def test_layers_that_are_not_there(checkpoint: Callable[[str], Path]) -> None:
    folder = str(checkpoint("siglip"))
    with pytest.raises(UnknownNameError, match=r"'block6/mean'"):
        TransformersEncoder(folder, ["block7/mean"])
    with pytest.raises(UnknownNameError, match=r"Did you mean .*'pooled'"):
        TransformersEncoder(folder, ["poold"])
    with pytest.raises(UnknownNameError, match="block2/cls"):
        TransformersEncoder(folder, ["block2/cls"])  # SigLIP has no class token
    with pytest.raises(UnknownNameError):
        TransformersEncoder(folder, ["projected"])
    with pytest.raises(InputError, match="layers"):
        TransformersEncoder(folder, [])


def test_the_stamp_tells_weights_processor_and_layers(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = checkpoint("clip")
    first = TransformersEncoder(str(folder), ["pooled"]).stamp
    assert first == TransformersEncoder(str(folder), ["pooled"]).stamp
    assert first.encoder == f"{folder.resolve()}@pooled"
    assert first.dims == {"pooled": 32}
    other_layers = TransformersEncoder(str(folder), ["last/cls"]).stamp
    assert (other_layers.revision, other_layers.preprocessing == first.preprocessing) == (first.revision, False)

    copy = shutil.copytree(folder, tmp_path / "copy")
    assert TransformersEncoder(str(copy), ["pooled"]).stamp.revision == first.revision
    assert TransformersEncoder(str(copy), ["pooled"]).stamp.preprocessing == first.preprocessing
    words = json.loads((copy / "preprocessor_config.json").read_text())
    words["image_mean"][0] += 0.01
    (copy / "preprocessor_config.json").write_text(json.dumps(words))
    changed = TransformersEncoder(str(copy), ["pooled"]).stamp
    assert changed.revision == first.revision
    assert changed.preprocessing != first.preprocessing

    other_weights = save_checkpoint("clip", tmp_path / "other", seed=1)
    stamp = TransformersEncoder(str(other_weights), ["pooled"]).stamp
    assert stamp.revision != first.revision
    assert stamp.preprocessing == first.preprocessing


def test_bfloat16_is_near_and_says_so(checkpoint: Callable[[str], Path]) -> None:
    folder = str(checkpoint("dinov2"))
    exact, rough = (TransformersEncoder(folder, ["pooled"], dtype=dtype) for dtype in ("auto", "bfloat16"))
    assert exact.stamp == TransformersEncoder(folder, ["pooled"], dtype="float32").stamp
    assert exact.stamp.preprocessing != rough.stamp.preprocessing
    a, b = embeddings(exact)["pooled"], embeddings(rough)["pooled"]
    assert b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()
    with pytest.raises(InputError, match="dtype"):
        TransformersEncoder(folder, dtype="float16")
    with pytest.raises(InputError, match="device"):
        TransformersEncoder(folder, device="abacus")


def test_weights_saved_in_half_precision_run_in_float32(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint("dinov2"), tmp_path / "half")
    state = load_file(copy / "model.safetensors")
    save_file({k: v.half() for k, v in state.items()}, copy / "model.safetensors", metadata={"format": "pt"})
    encoder = TransformersEncoder(str(copy), ["pooled"])
    assert {p.dtype for p in encoder._tower.model.parameters()} == {torch.float32}


def test_a_sharded_checkpoint(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = checkpoint("dinov2")
    model = tf.Dinov2Model.from_pretrained(folder)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    shutil.copy(folder / "preprocessor_config.json", tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    found = embeddings(TransformersEncoder(str(tmp_path), ["pooled"]))
    np.testing.assert_array_equal(found["pooled"], embeddings(TransformersEncoder(str(folder), ["pooled"]))["pooled"])
    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(WeightsError, match="something is missing"):
        TransformersEncoder(str(tmp_path))


def _drop(folder: Path, start: str) -> None:
    state = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in state.items() if not k.startswith(start)}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: _drop(f, "encoder.layer.1."), "are not in the file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 64), "weights cannot be read"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "something is missing"),
        (lambda f: (f / "config.json").write_text("{}"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("no json"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text('{"model_type": "nothing-known"}'), "config.json cannot be read"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
        (lambda f: (f / "preprocessor_config.json").write_text("no json"), "is no JSON"),
        (
            lambda f: (f / "preprocessor_config.json").write_text('{"image_processor_type": "Nothing"}'),
            "preprocessing cannot be run",
        ),
        (
            lambda f: (f / "preprocessor_config.json").write_text('{"image_processor_type": "Sam2ImageProcessor"}'),
            "preprocessing cannot be run",
        ),
    ],
)
def test_a_spoilt_folder(checkpoint: Callable[[str], Path], tmp_path: Path, spoil: Any, said: str) -> None:
    copy = shutil.copytree(checkpoint("dinov2"), tmp_path / "copy")
    spoil(copy)
    with pytest.raises(WeightsError, match=said) as caught:
        TransformersEncoder(str(copy))
    assert "\n" not in str(caught.value)


def test_code_in_a_checkpoint_is_never_run(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint("dinov2"), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (copy / "config.json").write_text(json.dumps(config))
    witness = tmp_path / "ran"
    (copy / "evil.py").write_text(f"open({str(witness)!r}, 'w')")
    with pytest.raises(WeightsError):
        TransformersEncoder(str(copy))
    assert not witness.exists()


def test_a_network_that_sees_no_images(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsError, match="no vision tower"):
        TransformersEncoder(str(checkpoint("bert")))


def test_pixels_that_are_none(checkpoint: Callable[[str], Path]) -> None:
    encoder = TransformersEncoder(str(checkpoint("dinov2")), ["pooled"])
    with pytest.raises(ArrayError):
        encoder.prepare(np.zeros((30, 30), np.uint8))
    with pytest.raises(ArrayError):
        encoder.prepare(np.zeros((30, 30, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="times the other"):
        encoder.prepare(np.zeros((1, 5000, 3), np.uint8))


def test_loading_says_nothing(checkpoint: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    level = tf.utils.logging.get_verbosity()
    TransformersEncoder(str(checkpoint("clip")), ["block1/mean"])
    assert capfd.readouterr() == ("", "")
    assert tf.utils.logging.get_verbosity() == level
    assert tf.utils.logging.is_progress_bar_enabled()
