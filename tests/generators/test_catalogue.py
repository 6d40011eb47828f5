"""From a text or a file to generators: every wrong name and option is named."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from morelli.errors import (
    ConsentError,
    InputError,
    MissingExtraError,
    ReservedNameError,
    UnknownNameError,
    WeightsError,
)
from morelli.generators import catalogue
from morelli.generators.catalogue import check_consent, generator_names, hosts, load_generators
from morelli.generators.prompts import Prompt, clean, read_prompts
from morelli.testing.datasets import write_dataset

from .fakes import FakeGenerator


@dataclass(frozen=True)
class ToyOptions:
    steps: int = 1
    scale: float = 1.0
    name: str | None = None
    flag: bool = False
    lora: tuple[str, ...] = ()


class Toy(FakeGenerator):
    Options = ToyOptions

    def __init__(self, argument: str, options: ToyOptions) -> None:
        super().__init__(argument)
        self.id = f"toy:{argument}"
        self.options = options


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch):
    """A kind of a third party, and a zoo of two."""
    zoo: Any = ModuleType("morelli.generators.zoo.catalogue")
    zoo.names = lambda: ("unet", "gan")
    zoo.load = lambda name: FakeGenerator(f"zoo/{name}")
    monkeypatch.setitem(sys.modules, zoo.__name__, zoo)
    catalogue.REGISTRY.add("toy", Toy)
    yield
    del catalogue.REGISTRY._loaded["toy"]


def models(spec: str | Path, **more: Any) -> list[str]:
    return [each.model for each in load_generators(str(spec), **more)]


def test_specs() -> None:
    assert models("zoo") == ["zoo/unet", "zoo/gan"]
    assert models("zoo/gan, toy:x") == ["zoo/gan", "toy:x".partition(":")[2]]
    assert {"diffusers", "folder", "hub-inference", "openai", "toy", "zoo", "zoo/gan", "zoo/unet"} == set(
        generator_names()
    )


@pytest.mark.parametrize("spec", ["zoo", "zoo/unet", "toy:x,zoo"])
def test_a_zoo_without_models_is_said(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["morelli.generators.zoo.catalogue"], "names", tuple)
    with pytest.raises(WeightsError, match="carries no built-in model") as caught:
        load_generators(spec)
    assert "training/zoo" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("zoo/unnet", "Did you mean 'zoo/unet'"),
        ("difusers:x", "Did you mean 'diffusers'"),
        ("unet", "Did you mean 'zoo/unet'"),
        ("quite other", "Known: diffusers, folder"),
        ("stabilityai/sdxl-turbo", "no generator is called 'stabilityai/sdxl-turbo'"),
    ],
)
def test_unknown_names(spec: str, said: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_generators(spec)
    assert said in str(caught.value)


@pytest.mark.parametrize("spec", ["", ",", "zoo,", "toy:", "openai:", "diffusers", "zoo,zoo/unet", "toy:a,toy:a"])
def test_specs_that_say_nothing_or_one_model_twice(spec: str) -> None:
    with pytest.raises(InputError):
        load_generators(spec)


@pytest.mark.parametrize("spec", ["toy:none", "zoo,toy:Unsure"])
def test_a_name_that_verdicts_give_to_no_model_is_refused(spec: str) -> None:
    """Before an image is made, and perhaps paid for, under it."""
    with pytest.raises(ReservedNameError) as caught:
        load_generators(spec)
    assert caught.value.argument == spec.rpartition(",")[2]


FILES = {
    "g.toml": '[[generator]]\nid = "toy:a"\nsteps = 3\nlora = "one"\n[[generator]]\nid = "zoo/gan"\n',
    "g.json": '{"generator": [{"id": "toy:a", "steps": 3, "lora": ["one"]}, {"id": "zoo/gan"}]}',
    "g.yaml": "generator:\n- id: toy:a\n  steps: 3\n  lora: one\n- id: zoo/gan\n",
    "h.yml": "- {id: 'toy:a', steps: 3, lora: one}\n- {id: zoo/gan}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_each_format(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    toy, gan = load_generators(str(tmp_path / name))
    assert isinstance(toy, Toy)
    assert (toy.options, gan.model) == (ToyOptions(steps=3, lora=("one",)), "zoo/gan")


def test_paths_in_a_file_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("")
    (tmp_path / "g.toml").write_text('[[generator]]\nid = "toy:a"\nlora = ["weights.safetensors", "org/name"]\n')
    (toy,) = load_generators(str(tmp_path / "g.toml"))
    assert isinstance(toy, Toy)
    assert toy.options.lora == (str(tmp_path / "weights.safetensors"), "org/name")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no generator"),
        ("generator = 3", "lists no generator"),
        ("[[generators]]\nid = 'zoo'", "'generators' is no part of it"),
        ("[[generator]]\nsteps = 3", "generator 1 has no id"),
        ("[[generator]", "malformed"),
        ("[[generator]]\nid = 'toy:a'\nstepps = 3", "Did you mean 'steps'"),
        ("[[generator]]\nid = 'toy:a'\nsteps = 'many'", "steps must be a whole number, and is 'many'"),
        ("[[generator]]\nid = 'toy:a'\nsteps = true", "steps must be a whole number"),
        ("[[generator]]\nid = 'toy:a'\nscale = 'x'", "scale must be a number"),
        ("[[generator]]\nid = 'toy:a'\nname = 3", "name must be text"),
        ("[[generator]]\nid = 'toy:a'\nflag = 1", "flag must be true or false"),
        ("[[generator]]\nid = 'toy:a'\nlora = [3]", "lora must be a list of texts"),
        ("[[generator]]\nid = 'toy:a'\nlora = 3", "lora must be a list of texts"),
        ("[[generator]]\nid = 'zoo/gan'\nsteps = 3", "no option is called 'steps'"),
        ("[[generator]]\nid = 'openai:m'\napi_key = 'sk-x'", "keys are read from the environment only"),
        ("[[generator]]\nid = 'hub-inference:m'\ntoken = 'hf_x'", "keys are read from the environment only"),
        ("[[generator]]\nid = 'openai:m'\nqualty = 'x'", "Did you mean 'quality'"),
    ],
)
def test_files_that_are_wrong(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(text)
    with pytest.raises((InputError, UnknownNameError)) as caught:
        load_generators(str(tmp_path / "g.toml"))
    assert said in str(caught.value)
    assert "sk-x" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"), [("g.json", b"{"), ("g.yaml", b"a: ["), ("g.toml", b"\xff"), ("no.toml", None)]
)
def test_files_that_cannot_be_read(name: str, data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        load_generators(str(tmp_path / name))


def test_yaml_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g.yaml").write_text("[]")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match="generators"):
        load_generators(str(tmp_path / "g.yaml"))


@pytest.mark.parametrize(("spec", "package"), [("openai:m", "openai"), ("hub-inference:m", "huggingface_hub")])
def test_hosted_without_their_packages(spec: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("HF_TOKEN", "hf_k")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"morelli\[hosted\]"):
        load_generators(spec)[0].generate("a", 1, 0)


def test_options_for_all_and_price_where_it_means_something() -> None:
    (toy,) = load_generators("toy:a", options={"steps": 9}, price=0.5)
    assert isinstance(toy, Toy)
    assert toy.options.steps == 9
    dear, own = load_generators("openai:a,openai:b", price=0.5), load_generators("openai:a", options={"price": 2})
    assert [str(each.price) for each in [*dear, *own]] == ["0.5", "0.5", "2.0"]  # type: ignore[attr-defined]


def test_nothing_is_sent_without_consent() -> None:
    chosen = load_generators("zoo/gan,openai:m")
    assert hosts(chosen) == ["api.openai.com"]
    with pytest.raises(ConsentError, match=r"openai:m: would send prompts to api.openai.com. Say yes."):
        check_consent(chosen, False, "Say yes.")
    assert check_consent(chosen, True, "") == ["api.openai.com"]
    assert check_consent(chosen[:1], False, "") == []


def test_prompts_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\ufeffa  cat\n\n# a dog\na cat\n")
    assert read_prompts(tmp_path / "p.txt") == [Prompt("a cat"), Prompt("# a dog")]


def test_prompts_of_tables(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('prompt_id,prompt\n1,"a cat, asleep"\n2,a dog\n')
    assert read_prompts(tmp_path / "p.csv") == [Prompt("a cat, asleep", "1"), Prompt("a dog", "2")]
    (tmp_path / "p.jsonl").write_text('{"prompt": "a cat", "prompt_id": 7}\n{"prompt": "a dog"}\n')
    assert read_prompts(tmp_path / "p.jsonl") == [Prompt("a cat", "7"), Prompt("a dog")]


def test_a_line_ends_where_the_format_says(tmp_path: Path) -> None:
    """U+2028 and its like are white space within a prompt, also where `str.splitlines` would cut."""
    (tmp_path / "p.jsonl").write_bytes('{"prompt": "a cat\u2028on a mat"}\r\n{"prompt": "a\x85dog"}'.encode())
    assert read_prompts(tmp_path / "p.jsonl") == [Prompt("a cat on a mat"), Prompt("a dog")]
    (tmp_path / "p.csv").write_bytes('prompt\r\na cat\x85on a mat\r\n"a dog\non a rug"\r\n'.encode())
    assert read_prompts(tmp_path / "p.csv") == [Prompt("a cat on a mat"), Prompt("a dog on a rug")]
    (tmp_path / "p.txt").write_bytes("a cat\u2028on a mat\ra dog\n".encode())
    assert read_prompts(tmp_path / "p.txt") == [Prompt("a cat on a mat"), Prompt("a dog")]


def test_a_path_may_hold_a_comma(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "a,b", models=2, prompts=2, seeds=1, size=16)
    assert [each.model for each in load_generators(f"folder:{folder}")] == ["model-00", "model-01"]
    assert [each.model for each in load_generators(f"folder:{folder}#model-01")] == ["model-01"]
    assert [each.model for each in load_generators("zoo/gan, zoo/unet")] == ["zoo/gan", "zoo/unet"]
    plain = write_dataset(tmp_path / "c", models=1, prompts=2, seeds=1, size=16)
    assert [each.model for each in load_generators(f"zoo/gan,folder:{plain}")] == ["zoo/gan", "model-00"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.txt", b"\n \n", "holds no prompt"),
        ("p.txt", b"\xff", "not UTF-8"),
        ("p.txt", b"a\nb\x00c", "line 2"),
        ("p.csv", b"text\na\n", "line 2 has no column 'prompt'"),
        ("p.csv", b'prompt\n"a', "malformed"),
        ("p.csv", b"prompt_id,prompt\n1,a\n1,b\n", "'1' to two prompts"),
        ("p.jsonl", b"x", "line 1 is no JSON"),
        ("p.jsonl", b"[]", "no JSON object"),
        ("no.txt", None, "cannot be read"),
    ],
)
def test_prompts_that_are_wrong(name: str, data: bytes | None, said: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_prompts(tmp_path / name)


def test_a_prompt_may_hold_any_writing() -> None:
    assert clean("👩‍🎨  ein  schöner\n Tag") == "👩‍🎨 ein schöner Tag"
    for bad in ("", " \n", "a\x07b", "\udcff"):
        with pytest.raises(InputError):
            clean(bad)
