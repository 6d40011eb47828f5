"""``morelli identify --method regeneration``: no gallery, honest verdicts, consent, and bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue as encoders
from morelli.errors import BadGenerationError
from morelli.generators import catalogue as generators
from morelli.generators.zoo import manifest

from ..generators.server import hub_answer, serve
from ..inversion.checkpoints import save_blip, save_clip
from ..regeneration.painters import Grain, Painter, paint
from ..test_light_import import loaded_by
from .test_identify import FIELDS

MODELS = "painter:model-0,painter:model-1,painter:model-2,painter:model-3"


class Broken(Painter):
    """Gives a black image."""

    def generate(self, prompt: str, count: int, seed: int) -> Any:
        raise BadGenerationError("gave a blank image for seed 0.", argument=self.id, fix="Take another seed.")


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(manifest, "read_manifest", lambda: manifest.Manifest(tmp_path, {}, {}))
    encoders.REGISTRY.add("grain", Grain)
    generators.REGISTRY.add("painter", Painter)
    generators.REGISTRY.add("broken", Broken)
    yield
    del encoders.REGISTRY._loaded["grain"]
    del generators.REGISTRY._loaded["painter"], generators.REGISTRY._loaded["broken"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(paint("model-2", "a cat", 77)).save(tmp_path / "q.png")
    return tmp_path / "q.png"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run ``morelli identify``: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["identify", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def ask(picture: Path, *more: object) -> list[object]:
    return [picture, "--generators", MODELS, "--encoder", "grain", "--gamma", 3, *more]


def test_json(run, picture: Path, tmp_path: Path) -> None:
    status, out, err = run(*ask(picture, "--method", "regeneration", "--prompt", "a cat", "--json"))
    assert (status, err) == (0, "")
    verdict = json.loads(out)
    assert set(verdict) == FIELDS
    assert verdict["schema"] == "morelli.verdict/1"
    assert verdict["ranking"][0]["model"] == "model-2"
    assert verdict["decision"] in ("model-2", "unsure")
    assert not verdict["calibrated"]
    assert len(verdict["stability"]["degradations"]) == 5
    method = verdict["method"]
    assert (method["name"], method["prompt_used"], method["inverter"]) == ("regeneration", "a cat", "given")
    assert (method["gamma"], method["similarity"], method["encoder"]) == (3, "fused", "grain")
    assert [each["id"] for each in method["generators"]] == MODELS.split(",")
    assert set(method["seconds"]) == {"invert", "generate", "embed", "score"}
    for each in verdict["evidence"]:
        path = Path(each["reference"])
        assert path.is_file()
        assert tmp_path / "cache" / "regenerations" in path.parents


def test_for_people(run, picture: Path) -> None:
    status, out, _ = run(*ask(picture, "--prompt", "a cat", "--similarity", "clip-cosine"))
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith(f"{picture}: ")
    assert "model-2" in lines[2]
    assert "method      regeneration, γ = 3, clip-cosine, grain" in lines
    assert "prompt      a cat (given)" in lines
    assert any(line.startswith("seconds     invert 0.0, generate ") for line in lines)
    status, out, _ = run(picture, "--generators", MODELS, "--prompt", "a cat", "--similarity", "ssim", "--gamma", 1)
    assert status == 0
    assert "method      regeneration, γ = 1, ssim\n" in out


def test_inverters(run, picture: Path, tmp_path: Path) -> None:
    blip, clip = save_blip(tmp_path / "blip"), save_clip(tmp_path / "clip")
    for spec, kind in ((f"blip:{blip}", "blip"), (f"pez:{clip}@iterations=5,length=3", "pez")):
        status, out, _ = run(*ask(picture, "--inverter", spec, "--json", "--no-stability"))
        assert status == 0
        method = json.loads(out)["method"]
        assert method["inverter"].startswith(f"{kind}:")
        assert len(method["prompt_used"].split()) >= 3
        assert json.loads(out)["decision"] == "unsure"  # no calibration and no stability test


def test_a_gallery_of_the_environment_is_for_other_methods(run, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORELLI_GALLERY", "/nowhere")
    status, out, _ = run(*ask(picture, "--prompt", "a cat", "--json"))
    assert status == 0
    assert json.loads(out)["method"]["gallery"] is None
    status, _, err = run(*ask(picture, "--prompt", "a cat", "--gallery", "/nowhere"))
    assert status == 1
    assert "/nowhere" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "regeneration"], "--generators: no generators were named"),
        (["--generators", MODELS], "--inverter: no prompt is known"),
        (["--generators", MODELS, "--prompt", " "], "the prompt is empty"),
        (["--generators", MODELS, "--inverter", "given"], "no prompt was given"),
        (["--generators", MODELS, "--inverter", "pez:x", "--prompt", "a cat"], "takes no prompt"),
        (["--generators", MODELS, "--inverter", "blip:zoo"], "carries no captioner"),
        (["--generators", MODELS, "--inverter", "bilp:x"], "Did you mean 'blip'"),
        (["--generators", "paintr:x", "--prompt", "a cat"], "Did you mean 'painter'"),
        (["--generators", "painter:a", "--prompt", "a cat"], "regeneration compares models, and here is 1"),
        (["--generators", MODELS, "--prompt", "a cat", "--similarity", "sim"], "Did you mean 'ssim'"),
        (["--generators", MODELS, "--prompt", "a cat", "--similarity", "clip-cosine"], "carries no clip of the zoo"),
        (["--generators", MODELS, "--prompt", "a cat", "--encoder", "grain", "--gamma", "1"], "at least 2 candidates"),
        (["--generators", MODELS, "--prompt", "a cat", "--prompt-free"], "--prompt-free: regeneration always has"),
        (["--generators", MODELS, "--prompt", "a cat", "--encoder", "grain", "--epsilon", "2"], "between 0 and 1"),
        (["--generators", MODELS, "--method", "fused"], "--generators: goes with --method regeneration"),
        (["--gamma", "3", "--gallery", "g"], "--gamma: goes with --method regeneration"),
        (["--yes-send", "--gallery", "g"], "--yes-send: goes with --method regeneration"),
    ],
)
def test_bad_input(arguments: list[str], said: str, run, picture: Path) -> None:
    status, out, err = run(picture, *arguments)
    assert (status, out) == (1, "")
    assert said in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_generator_that_fails_is_named_and_the_rest_is_kept(run, picture: Path, tmp_path: Path) -> None:
    asked = [picture, "--generators", "painter:a,broken:b", "--encoder", "grain", "--gamma", 2, "--prompt", "a cat"]
    status, out, err = run(*asked, "--json")
    assert status == 1
    failure = json.loads(out)
    assert (failure["schema"], failure["image"], failure["argument"]) == ("morelli.error/1", str(picture), "painter:b")
    assert failure["fix"]
    assert "gave a blank image" in err
    assert len(list((tmp_path / "cache" / "regenerations").rglob("*.png"))) == 2


def test_one_bad_picture_stops_no_other(run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    status, out, err = run(tmp_path / "a.png", *ask(picture, "--prompt", "a cat", "--json"))
    assert status == 1
    assert [json.loads(line)["schema"] for line in out.splitlines()] == ["morelli.error/1", "morelli.verdict/1"]
    assert "Traceback" not in err


def test_nothing_is_sent_unless_that_was_allowed(
    run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    import huggingface_hub.constants

    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    file = tmp_path / "g.toml"
    with serve(hub_answer) as host:
        file.write_text(
            f'[[generator]]\nid = "hub-inference:m"\nbase_url = "{host.url}"\n[[generator]]\nid = "painter:model-2"\n'
        )
        name = host.url.removeprefix("http://")
        asked = [picture, "--generators", file, "--encoder", "grain", "--gamma", 2, "--prompt", "a cat", "--json"]
        status, out, err = run(*asked)
        assert (status, host.seen) == (1, [])
        assert json.loads(out)["argument"] == "hub-inference:m"
        assert f"leaves this machine for {name}, a third party" in err
        assert "Say --yes-send" in err
        assert not (tmp_path / "cache" / "regenerations").exists()
        # Consent comes before anything is read.
        assert "Say --yes-send" in run(picture, "--generators", file, "--inverter", "blip:./nowhere")[2]
        status, out, err = run(*asked, "--yes-send")
        assert (status, len(host.seen)) == (0, 2)
        assert f"leaves this machine for {name}" in err
        assert json.loads(out)["method"]["generators"][0]["host"] == name
        run(*asked, "--yes-send")
        assert len(host.seen) == 2
    assert "secret" not in out + err
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not any(b"hf_secret" in path.read_bytes() for path in kept)


def test_the_modules_are_light() -> None:
    assert loaded_by("from morelli.cli import identify, identify_regeneration, gallery_build, making") == []
