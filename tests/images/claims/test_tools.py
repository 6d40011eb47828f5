"""Records of generating tools: the model that each names, beside an independent parser where there is one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from morelli.images.claims.automatic1111 import parse_infotext, settings
from morelli.images.claims.comfyui import MAX_NODES, parse_graph, parse_workflow
from morelli.images.claims.read import read_claims
from morelli.images.claims.tools import parse_dream, parse_invokeai, parse_midjourney, parse_novelai, parse_object
from tests.images.claims import files

FOOOCUS = {
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "prompt": "a fox",
    "negative_prompt": "",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "77",
    "steps": 30,
    "sharpness": 2,
    "guidance_scale": 4,
    "loras": [["offset.safetensors", 0.1, "hash"]],
    "version": "Fooocus v2.5.0",
}
NOVELAI = {
    "Title": "AI generated image",
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4.5 4BDE2A90",
    "Description": "a castle",
    "Comment": json.dumps({"seed": 5, "steps": 28, "sampler": "k_euler", "scale": 5.0, "uc": "bad"}),
}
INVOKE = {
    "positive_prompt": "a boat",
    "negative_prompt": "",
    "seed": 8,
    "steps": 30,
    "cfg_scale": 7.5,
    "scheduler": "euler",
    "model": {"name": "sdxl-base", "hash": "x", "base": "sdxl"},
    "loras": [{"model": {"name": "ink"}, "weight": 0.5}],
}


WITHOUT_LORA = {key: node for key, node in files.GRAPH.items() if key != "10"}
WITHOUT_LORA["3"] = {"class_type": "KSampler", "inputs": {**files.GRAPH["3"]["inputs"], "model": ["4", 0]}}


def only(*chunks: bytes) -> str:
    """The statement of the one claim of a tool."""
    found = read_claims(files.png(*chunks))
    claims = [claim for claim in found.claims if claim.source.startswith("parameters")]
    assert len(claims) == 1, found
    assert not claims[0].signed
    return f"{claims[0].source} | {claims[0].statement}"


def texts(values: dict[str, str]) -> list[bytes]:
    return [files.text(key, value) for key, value in values.items()]


def test_web_ui() -> None:
    said = only(files.text("parameters", files.INFOTEXT))
    assert said == (
        'parameters of Stable Diffusion web UI, or a tool that writes its form (PNG tEXt "parameters") | '
        'model "dreamshaper_8"; hash abc123def0; seed 1234; steps 20; sampler Euler a; CFG scale 7; '
        'prompt "a cat, on a mat with a hat"'
    )


@pytest.mark.parametrize(
    ("more", "tool"),
    [
        (", App: SD.Next, Version: abc", "SD.Next"),
        (", Version: f2.0.1v1.10.1-previous", "Stable Diffusion WebUI Forge"),
        (", Version: Fooocus v2.5.5", "Fooocus"),
        (", Version: ComfyUI", "ComfyUI"),
    ],
)
def test_heirs_of_web_ui(more: str, tool: str) -> None:
    found = parse_infotext(f"x\nSteps: 1, Sampler: a, Seed: 1, Model: m{more}")
    assert found is not None
    assert (found.tool, found.models) == (tool, ("m",))


def test_settings_with_commas_in_quotes_and_brackets() -> None:
    line = (
        r'Steps: 20, A: "x, Model: fake, \" y", Model: real, Hashes: {"model": "1", "z": [1, 2]}, '
        'Civitai resources: [{"type":"checkpoint","modelName":"M, 1"},{"type":"lora","modelName":"L"}], Seed: 3'
    )
    values = settings(line)
    assert values["Model"] == "real"
    assert values["Seed"] == "3"
    assert values["Hashes"] == '{"model": "1", "z": [1, 2]}'
    found = parse_infotext(f"p\n{line}")
    assert found is not None
    assert (found.models, found.adapters) == (("real", "M, 1"), ("L",))


def test_text_that_only_looks_like_a_record() -> None:
    for value in ("", "Steps: many", "no settings at all", "Steps: 20, of cooking, and more"):
        assert parse_infotext(value) is None
    assert read_claims(files.png(files.text("parameters", "hello"), files.text("Comment", "hello"))).claims == ()


@pytest.mark.parametrize("line", ["Steps: " + "a" * 2_000_000, "Steps: " + "a:" * 10**6, 'Steps: "' + '\\"' * 10**6])
def test_long_settings_take_linear_time(line: str) -> None:
    start = time.process_time()
    parse_infotext(line)
    assert time.process_time() - start < 2.0


def test_comfyui_names_what_the_saved_picture_draws_on() -> None:
    found = read_claims(files.comfyui_png())
    assert [claim.source for claim in found.claims] == ['parameters of ComfyUI (PNG tEXt "prompt")']
    assert found.claims[0].statement == (
        'model "juggernautXL_v9.safetensors"; LoRA "film.safetensors"; seed 99; steps 25; sampler dpmpp_2m; '
        'CFG scale 6.5; prompt "a lighthouse at dusk"'
    )


def test_comfyui_in_exif() -> None:
    block = files.exif({0x0110: (2, b"prompt:" + json.dumps(files.GRAPH).encode()), 0x010F: (2, b"workflow:{}")})
    for data in (
        files.saved("WEBP", exif=block),
        files.jpeg(files.segment(0xE1, b"Exif\0\0" + block)),
    ):
        assert 'model "juggernautXL_v9.safetensors"' in read_claims(data).claims[0].statement


def test_a_cyclic_graph_ends() -> None:
    graph = json.loads(json.dumps(files.GRAPH))
    graph["4"]["inputs"]["clip"] = ["3", 0]  # the loader draws on the sampler that draws on it
    graph["6"]["inputs"]["text"] = ["6", 0]  # and the prompt on itself
    found = parse_graph(graph)
    assert found is not None
    assert found.models == ("juggernautXL_v9.safetensors",)
    ring = {str(i): {"class_type": "X", "inputs": {"a": [str((i + 1) % 50), 0]}} for i in range(50)}
    ring["7"]["inputs"]["ckpt_name"] = "ring.ckpt"
    assert parse_graph(ring).models == ("ring.ckpt",)  # type: ignore[union-attr]


def test_a_long_chain_and_many_samplers_take_linear_time() -> None:
    graph: dict[str, Any] = {str(i): {"class_type": "X", "inputs": {"model": [str(i + 1), 0]}} for i in range(9000)}
    graph["9000"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "far.ckpt"}}
    for i in range(9000):
        graph[f"s{i}"] = {
            "class_type": "KSampler",
            "inputs": {"seed": 1, "steps": 1, "model": ["0", 0], "positive": ["0", 0]},
        }
    start = time.process_time()
    found = parse_graph(graph)
    assert time.process_time() - start < 1.0
    assert found is not None
    assert found.models == ("far.ckpt",)
    assert parse_graph({str(i): graph["0"] for i in range(MAX_NODES + 1)}) is None


@pytest.mark.parametrize(
    "graph",
    [
        *(None, 3, "x", [], {}, {"1": 2}),
        {"1": {"class_type": 5, "inputs": {}}},
        {"1": {"class_type": "a", "inputs": []}},
        {"1": {"inputs": {"ckpt_name": "no class"}}},
    ],
)
def test_what_is_no_graph(graph: Any) -> None:
    assert parse_graph(graph) is None


def test_odd_inputs_of_a_graph() -> None:
    odd = {
        "1": {
            "class_type": "SaveImage",
            "inputs": {"a": [["1"], 0], "b": [{}, 1], "c": [1], "d": [None, 0], "e": [2, 0]},
        }
    }
    odd["2"] = {"class_type": "CheckpointLoader", "inputs": {"ckpt_name": ["nested"], "model": {"name": "x"}}}
    found = parse_graph(odd)
    assert found is not None
    assert found.models == ()


def test_a_drawing_without_the_graph_that_ran() -> None:
    drawing = {
        "nodes": [
            {"type": "CheckpointLoaderSimple", "mode": 0, "widgets_values": ["a.safetensors"]},
            {"type": "UNETLoader", "mode": 4, "widgets_values": ["bypassed.safetensors"]},
            {"type": "VAELoader", "widgets_values": ["vae.safetensors"]},
            "nonsense",
        ]
    }
    found = parse_workflow(drawing)
    assert found is not None
    assert found.models == ("a.safetensors",)
    assert 'model "a.safetensors"' in only(files.text("workflow", json.dumps(drawing)))


def test_fooocus_swarm_draw_things() -> None:
    said = only(files.text("parameters", json.dumps(FOOOCUS)))
    assert 'Fooocus (PNG tEXt "parameters") | model "juggernautXL_v8Rundiffusion"; LoRA "offset.safetensors"' in said
    swarm = {"sui_image_params": {"prompt": "p", "model": "Flux/flux1-dev", "seed": 4, "loras": ["l"]}}
    assert 'SwarmUI (PNG tEXt "parameters") | model "Flux/flux1-dev"; LoRA "l"; seed 4' in only(
        files.text("parameters", json.dumps(swarm))
    )
    draw = json.dumps({"c": "p", "model": "sd_xl.ckpt", "sampler": "DPM++", "seed": 4}).replace('"', "&quot;")
    said = only(files.xmp_chunk(files.xmp(f"<exif:UserComment>{draw}</exif:UserComment>")))
    assert 'Draw Things (XMP "UserComment") | model "sd_xl.ckpt"; seed 4; sampler DPM++' in said


def test_novelai_in_png_and_as_one_object() -> None:
    expected = 'model "NovelAI Diffusion V4.5"; hash 4BDE2A90; seed 5; steps 28; sampler k_euler; CFG scale 5.0'
    assert expected in only(*texts(NOVELAI))
    found = read_claims(files.saved("WEBP", exif=files.comment_exif(json.dumps(NOVELAI))))
    assert expected in found.claims[0].statement
    assert parse_novelai({"Software": "NovelAI", "Comment": "["}).models == ()  # type: ignore[union-attr]


def test_invokeai_in_its_three_forms() -> None:
    said = only(files.text("invokeai_metadata", json.dumps(INVOKE)))
    assert 'InvokeAI (PNG tEXt "invokeai_metadata") | model "sdxl-base"; LoRA "ink"; seed 8' in said
    old = {"model_weights": "stable-diffusion-1.5", "image": {"prompt": [{"prompt": "p"}], "seed": 3, "sampler": "k"}}
    assert 'model "stable-diffusion-1.5"; seed 3' in only(files.text("sd-metadata", json.dumps(old)))
    assert "no model named; seed 42; steps 50" in only(files.text("Dream", '"a dog" -s 50 -S 42 -C7.5 -A k_lms'))
    assert parse_dream("no quotes") is None
    assert parse_invokeai([1]) is None


def test_midjourney_and_easy_diffusion() -> None:
    job = "a crane in fog --ar 3:2 --v 6.1 Job ID: 0a1b2c3d-1111-2222-3333-444455556666"
    said = only(files.text("Description", job))
    assert said.startswith('parameters of Midjourney (PNG tEXt "Description") | model "Midjourney 6.1"; job 0a1b2c3d-')
    assert parse_midjourney("Job ID: none") is None
    easy = {"use_stable_diffusion_model": "sd-v1-5", "seed": "9", "prompt": "a tree", "num_inference_steps": "25"}
    assert (
        only(*texts(easy)) == 'parameters of Easy Diffusion (PNG) | model "sd-v1-5"; seed 9; steps 25; prompt "a tree"'
    )


def test_software_and_camera() -> None:
    block = files.exif({0x0131: (2, b"Photo Shop 9\0"), 0x010F: (2, b"Acme\0"), 0x0110: (2, b"Cam 1\0")})
    found = read_claims(files.jpeg(files.segment(0xE1, b"Exif\0\0" + block)))
    assert [(claim.source, claim.statement) for claim in found.claims] == [
        ("software (EXIF)", '"Photo Shop 9"'),
        ("camera (EXIF)", '"Acme Cam 1"'),
    ]


# -- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["parameters", "prompt", "invokeai_metadata", "sd-metadata", "Comment"])
@pytest.mark.parametrize(
    "value",
    ['{"a":' * 200_000, '{"a":' + "[" * 500_000, '{"a": ' + "9" * 5000 + "}", '{"a": NaN', "{}", '{"model": null}'],
    ids=["deep", "deep list", "digits", "cut", "empty", "null"],
)
def test_hostile_json_is_a_note_at_most(key: str, value: str) -> None:
    start = time.process_time()
    found = read_claims(files.png(files.text(key, value)))
    assert time.process_time() - start < 2.0
    assert all("model" not in claim.statement or "no model named" in claim.statement for claim in found.claims)


def test_values_of_the_wrong_type_are_left_out() -> None:
    record = {key: [{"a": [1]}] for key in (*FOOOCUS, *INVOKE, "c", "sui_image_params")}
    for key in ("parameters", "invokeai_metadata", "sd-metadata", "prompt"):
        read_claims(files.png(files.text(key, json.dumps(record))))
    assert parse_object({"base_model": 3, "sharpness": 1}).models == ()  # type: ignore[union-attr]


def test_a_forged_name_cannot_leave_its_quotes_or_colour_the_terminal() -> None:
    evil = 'x" [signed]\x1b[32m\nContent Credentials: signed by "OpenAI'
    said = only(files.text("parameters", json.dumps({**FOOOCUS, "base_model": evil})))
    assert said.count('"') % 2 == 0
    assert "\x1b" not in said
    assert "\n" not in said
    assert "model \"x' [signed] [32m Content Credentials: signed by 'OpenAI\"" in said


def test_many_claims_are_counted() -> None:
    found = read_claims(files.png(*(files.text("Software", f"s{i}") for i in range(60))))
    assert len(found.claims) == 32
    assert "makes 60 claims" in found.notes[-1]


# -- beside sd-parsers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("AUTOMATIC1111Parser", {"parameters": files.INFOTEXT}),
        ("FooocusParser", {"parameters": json.dumps(FOOOCUS)}),
        ("NovelAIParser", NOVELAI),
        (
            "InvokeAIParser",
            {"invokeai_metadata": json.dumps({**INVOKE, "model": {"model_name": "sdxl-base"}})},
        ),
        (
            "ComfyUIParser",
            {
                # Without the LoRA: of a graph with one, sd-parsers 0.6 tells the link to the loader as the model.
                "prompt": json.dumps(WITHOUT_LORA),
                "workflow": json.dumps({"links": [[1, "4", 0, "3", 0, "MODEL"]]}),
            },
        ),
    ],
    ids=["web-ui", "fooocus", "novelai", "invokeai", "comfyui"],
)
def test_the_model_is_the_one_that_sd_parsers_finds(name: str, values: dict[str, str]) -> None:
    parsers = pytest.importorskip("sd_parsers.parsers", reason="sd-parsers is not installed")
    theirs = getattr(parsers, name)().parse(dict(values)).samplers[0].model.name
    assert f'model "{theirs}"' in only(*texts(values))
