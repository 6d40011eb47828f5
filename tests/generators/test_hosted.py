"""Both hosted generators over real HTTP, against a host that misbehaves in every way we could think of."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import numpy as np
import pytest

from morelli.errors import (
    BadGenerationError,
    CredentialsError,
    GeneratorError,
    HostError,
    InputError,
    MorelliError,
    RefusedContentError,
    SpendingCapError,
    UnknownModelError,
)
from morelli.generators.base import Generator
from morelli.generators.hosted import HostedGenerator, attach
from morelli.generators.hub_inference import HubInferenceGenerator, HubInferenceOptions
from morelli.generators.openai_images import OpenAIGenerator, OpenAIOptions
from morelli.generators.produce import produce
from morelli.generators.spending import Ledger
from morelli.generators.store import ImageStore

from .fakes import FakeGenerator, noise
from .server import Host, Reply, error, hub_answer, openai_answer, openai_image, png, serve

KEY = "hf_secretsecretsecret"


@dataclass
class Setting:
    """One protocol: its host, and how to make a generator that asks it."""

    host: Host
    make: Callable[..., HostedGenerator]
    image: Callable[[bytes], Reply]


def _hub_image(image: bytes) -> Reply:
    return Reply(200, image, {"Content-Type": "image/png"})


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a generator would have slept; and the hub's client may reach this machine's own host."""
    found: list[float] = []
    monkeypatch.setattr(HostedGenerator, "_sleep", lambda self, seconds: found.append(seconds) if seconds > 0 else None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    return found


@pytest.fixture(params=["hub-inference", "openai"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    hub = request.param == "hub-inference"

    def make(**options: Any) -> HostedGenerator:
        url = {"base_url": host.url if hub else f"{host.url}/v1"}
        if hub:
            made: HostedGenerator = HubInferenceGenerator("org/m", HubInferenceOptions(**{**url, **options}))
        else:
            made = OpenAIGenerator("org/m", OpenAIOptions(**{"send_seed": True, **url, **options}))
        return made

    with serve(hub_answer if hub else openai_answer) as host:
        yield Setting(host, make, _hub_image if hub else openai_image)


def test_it_keeps_the_contract(world: Setting) -> None:
    made = world.make(price=0.04, width=32, height=32)
    assert isinstance(made, Generator)
    assert made.hosted
    assert made.host == world.host.url.removeprefix("http://")
    images = made.generate("a  cat", 2, 5)
    assert [(i.seed, i.prompt, i.model, i.cost) for i in images] == [
        (5, "a cat", "org/m", 0.04),
        (6, "a cat", "org/m", 0.04),
    ]
    assert images[0].pixels.shape == (32, 32, 3)
    assert (images[0].settings["width"], images[0].settings["height"]) == (32, 32)
    np.testing.assert_array_equal(images[1].pixels, made.generate("a cat", 1, 6)[0].pixels)
    assert (images[0].pixels != images[1].pixels).any()


def test_what_is_sent_to_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    with serve(hub_answer) as host:
        options = HubInferenceOptions(base_url=host.url, width=64, height=48, steps=7, guidance=2.5)
        HubInferenceGenerator("org/m", options).generate("a cat", 1, 9)
    (_, headers, asked) = host.seen[0]
    sent = {"width": 64, "height": 48, "num_inference_steps": 7, "guidance_scale": 2.5, "seed": 9}
    assert asked == {"inputs": "a cat", "parameters": sent}
    assert headers["authorization"] == f"Bearer {KEY}"


def test_what_is_sent_to_an_openai_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    with serve(openai_answer) as host:
        options = OpenAIOptions(
            base_url=f"{host.url}/v1", width=64, height=48, quality="low", response_format="b64_json"
        )
        made = OpenAIGenerator("m", options)
        made.generate("a cat", 1, 9)
        OpenAIGenerator("m", OpenAIOptions(base_url=f"{host.url}/v1", send_seed=True)).generate("a cat", 1, 9)
    (path, headers, asked) = host.seen[0]
    assert path == "/v1/images/generations"
    sent = {"model": "m", "prompt": "a cat", "n": 1, "size": "64x48", "quality": "low", "response_format": "b64_json"}
    assert asked == sent
    assert headers["authorization"] == f"Bearer {KEY}"
    assert made.settings["seed"] == "not sent"
    assert host.seen[1][2]["seed"] == 9


def test_429_waits_as_long_as_the_host_asks(world: Setting, waits: list[float]) -> None:
    world.host.script += [error(429, "slow down", Retry_After="7"), error(429, "slow down", Retry_After="3")]
    made = world.make(price=1)
    assert len(made.generate("a cat", 1, 0)) == 1
    assert len(world.host.seen) == 3
    assert [int(wait) for wait in waits] == [7, 3]
    assert made.ledger.total() == 1  # a refusal costs nothing


def test_429_that_never_ends(world: Setting, waits: list[float]) -> None:
    world.host.script += [error(429, "slow down")] * 9
    with pytest.raises(HostError, match=r"too busy after 4 tries \(status 429: slow down\)"):
        world.make(retries=3).generate("a cat", 1, 0)
    assert len(world.host.seen) == 4
    assert all(0.5 * 2**i <= wait <= 2**i for i, wait in enumerate(waits))


def test_a_wait_that_is_too_long_ends_the_tries(world: Setting, waits: list[float]) -> None:
    world.host.script.append(error(429, "come back tomorrow", Retry_After="86400"))
    with pytest.raises(HostError, match="come back tomorrow"):
        world.make().generate("a cat", 1, 0)
    assert (len(world.host.seen), waits) == (1, [])


def test_500_then_success(world: Setting, waits: list[float]) -> None:
    world.host.script += [error(500, "boom"), Reply(503, b"<html>down</html>", {"Content-Type": "text/html"})]
    made = world.make(price=1)
    assert len(made.generate("a cat", 1, 0)) == 1
    assert (len(world.host.seen), len(waits)) == (3, 2)
    assert made.ledger.total() == 3  # a host that fell over may have charged: counted, to be safe


def test_timeout(world: Setting, waits: list[float]) -> None:
    world.host.script += [Reply(200, b"x", seconds=1.0)] * 2
    made = world.make(timeout=0.2, retries=1, price=1)
    with pytest.raises(HostError, match="did not answer in time after 2 tries"):
        made.generate("a cat", 1, 0)
    assert made.ledger.total() == 2


def test_nobody_there(world: Setting, waits: list[float]) -> None:
    made = world.make(base_url="http://127.0.0.1:9", price=1)
    with pytest.raises(HostError, match=r"cannot reach 127.0.0.1:9 after 3 tries") as caught:
        made.generate("a cat", 1, 0)
    assert caught.value.argument == made.id
    assert "Check the network" in str(caught.value)
    assert made.ledger.total() == 0


def test_a_web_page_instead_of_an_image(world: Setting, waits: list[float]) -> None:
    world.host.script.append(Reply(200, b"<html>Please log in</html>", {"Content-Type": "text/html"}))
    with pytest.raises(BadGenerationError, match="something that is no image"):
        world.make().generate("a cat", 1, 0)
    assert len(world.host.seen) == 1


def test_an_image_under_a_wrong_content_type_is_an_image(world: Setting) -> None:
    good = world.image(png("x"))
    kind = "text/plain" if good.headers["Content-Type"] == "image/png" else "application/json; charset=utf-8"
    world.host.script.append(Reply(200, good.body, {"Content-Type": kind}))
    np.testing.assert_array_equal(world.make().generate("a cat", 1, 0)[0].pixels, noise("x"))


def test_a_connection_cut_half_way(world: Setting, waits: list[float]) -> None:
    good = world.image(png("x"))
    world.host.script.append(Reply(200, good.body, good.headers, sent=len(good.body) // 2))
    made = world.make(price=1)
    assert len(made.generate("a cat", 1, 0)) == 1
    assert (len(world.host.seen), made.ledger.total()) == (2, 2)


def test_an_image_cut_half_way_by_the_host(world: Setting, waits: list[float]) -> None:
    whole = png("x", size=64)
    world.host.script += [world.image(whole[: len(whole) // 2])] * 2
    with pytest.raises(BadGenerationError, match="cut off after 2 tries"):
        world.make(retries=1).generate("a cat", 1, 0)
    assert len(world.host.seen) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_not_shown(
    status: int, world: Setting, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.host.script.append(error(status, f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}", "invalid_api_key"))
    made = world.make()
    with pytest.raises(CredentialsError, match="refuses the key") as caught:
        made.generate("a cat", 1, 0)
    shown = [str(caught.value), repr(caught.value), repr(made), repr(vars(made)), caplog.text]
    assert not any(KEY[:8] in text for text in shown)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert made.key_name in (caught.value.fix or "")


def test_a_key_that_a_host_repeats_is_taken_out(world: Setting) -> None:
    world.host.script.append(error(400, f"bad parameter for {KEY}"))
    with pytest.raises(GeneratorError, match=re.escape("bad parameter for [key]")):
        world.make().generate("a cat", 1, 0)


def test_a_missing_key(world: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(base_url=None)
    monkeypatch.delenv(made.key_name)
    with pytest.raises(CredentialsError, match=f"{made.key_name} is not set"):
        made.generate("a cat", 1, 0)


def test_an_own_server_needs_no_key_and_gets_none(
    world: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = world.make()
    monkeypatch.delenv(made.key_name)
    (tmp_path / "token").write_text("hf_stored_by_a_login")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert len(made.generate("a cat", 1, 0)) == 1
    assert "hf_stored" not in str(world.host.seen[0][1])


def test_a_key_of_another_host_does_not_go_round_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "sk-something")
    with pytest.raises(CredentialsError, match="no token of Hugging Face"):
        HubInferenceGenerator("org/m", HubInferenceOptions()).generate("a cat", 1, 0)


def test_the_router_is_named() -> None:
    assert (
        HubInferenceGenerator("o/m", HubInferenceOptions(provider="fal-ai")).host
        == "router.huggingface.co (and fal-ai)"
    )
    assert OpenAIGenerator("m", OpenAIOptions()).host == "api.openai.com"


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (
            error(400, "Rejected by our safety system", "content_policy_violation"),
            RefusedContentError,
            "refuses the prompt",
        ),
        (error(400, "Blocked.", "moderation_blocked"), RefusedContentError, "Change the prompt"),
        (error(422, "NSFW content detected"), RefusedContentError, "NSFW"),
        (error(404, "The model does not exist", "model_not_found"), UnknownModelError, "no such model"),
        (error(429, "You exceeded your quota", "insufficient_quota"), CredentialsError, "may spend no more"),
        (error(402, "Payment required"), CredentialsError, "may spend no more"),
        (error(400, "size must be 1024x1024"), GeneratorError, "size must be 1024x1024"),
    ],
    ids=lambda value: getattr(value, "status", None),
)
def test_refusals_that_stay(
    reply: Reply, kind: type[MorelliError], said: str, world: Setting, waits: list[float]
) -> None:
    world.host.script.append(reply)
    made = world.make(price=1)
    with pytest.raises(kind) as caught:
        made.generate("a cat", 1, 0)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert caught.value.argument == made.id
    assert (len(world.host.seen), waits, made.ledger.total()) == (1, [], 0)


def test_a_host_that_ignores_the_seed(world: Setting, tmp_path: Path) -> None:
    world.host.answer = lambda asked: world.image(png("always this"))
    with ImageStore(tmp_path) as store:
        made = world.make()
        with pytest.raises(BadGenerationError, match=r"the same image for the seeds 0 and 1.*ignore the seed"):
            list(produce(made, "a cat", 3, store=store))
        assert (len(store), len(world.host.seen)) == (1, 2)
        with pytest.raises(BadGenerationError):  # also where the first one is on the disk already
            list(produce(made, "a cat", 3, store=store))
        assert (len(store), len(world.host.seen)) == (1, 3)


def test_a_size_that_the_host_ignores(world: Setting) -> None:
    with pytest.raises(BadGenerationError, match="gave an image of 32×32 pixels for seed 0; 64×48 were asked for") as e:
        list(produce(world.make(width=64, height=48), "a cat", 1))
    assert e.value.argument == world.make().id


def test_the_cap_is_never_passed(world: Setting, tmp_path: Path, waits: list[float]) -> None:
    file = tmp_path / "spending.jsonl"
    made = world.make(price=0.1)
    attach([made], Ledger(file, Decimal("0.3")))
    images: list[int] = []
    with pytest.raises(SpendingCapError, match=r"cap of 0.3 is reached: 0.3 is spent, and an image costs 0.1"):
        images += [each.image.seed for each in produce(made, "a cat", 5)]
    assert len(world.host.seen) == 3  # 0.1 + 0.1 + 0.1 is 0.3 in money, if not in floating point
    again = world.make(price=0.1)
    attach([again], Ledger(file, Decimal("0.35")))
    with pytest.raises(SpendingCapError):
        again.generate("a cat", 1, 3)
    assert len(world.host.seen) == 3


def test_tries_that_may_have_been_charged_count_against_the_cap(world: Setting, waits: list[float]) -> None:
    world.host.script += [error(500, "boom")] * 9
    made = world.make(price=1, cap=2)
    with pytest.raises(SpendingCapError):
        made.generate("a cat", 1, 0)
    assert len(world.host.seen) == 2


def test_a_price_is_on_the_disk_before_the_request(world: Setting, tmp_path: Path) -> None:
    file = tmp_path / "spending.jsonl"
    read: list[str] = []
    usual = world.host.answer

    def answer(asked: dict[str, Any]) -> Reply:
        read.append(file.read_text())
        return usual(asked)

    world.host.answer = answer
    made = world.make(price=0.04)
    attach([made], Ledger(file))
    made.generate("a cat", 1, 0)
    (line,) = read[0].splitlines()
    assert json.loads(line)["price"] == "0.04"
    assert "cat" not in line
    assert KEY not in line


def test_a_cap_needs_a_price(world: Setting) -> None:
    with pytest.raises(InputError, match="no price"):
        attach([world.make()], Ledger(cap=Decimal(1)))
    with pytest.raises(InputError, match="a cap but no price"):
        world.make(cap=1.0)
    stranger = FakeGenerator()
    attach([stranger], Ledger(cap=Decimal(1)))
    stranger.hosted = True
    with pytest.raises(InputError, match="does not say what it spends"):
        attach([stranger], Ledger(cap=Decimal(1)))


def test_the_rate_is_kept(world: Setting, waits: list[float]) -> None:
    made = world.make(rate=30)
    made.generate("a cat", 3, 0)
    assert len(waits) == 2
    assert all(1.0 < wait <= 4.1 for wait in waits)  # two seconds apart, and no time passes while it "sleeps"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "ftp://x"}, "must begin with https"),
        ({"base_url": "http://"}, "must begin with https"),
        ({"base_url": "https://me:secret@host/v1"}, "no name, password or query"),
        ({"base_url": "https://host/v1?key=secret"}, "no name, password or query"),
        ({"base_url": "http://10.0.0.7/v1"}, "unencrypted"),
        ({"width": 64}, "both width and height"),
        ({"width": 3, "height": 64}, "width must be from 16"),
        ({"rate": 0.0}, "rate must be at least"),
        ({"timeout": float("nan")}, "timeout must be at least"),
        ({"retries": -1}, "retries must be from 0"),
        ({"price": -1.0}, "at least 0"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str, world: Setting) -> None:
    with pytest.raises(InputError, match=said):
        world.make(**options)


def test_plain_http_where_it_is_allowed() -> None:
    made = OpenAIGenerator("m", OpenAIOptions(base_url="http://10.0.0.7:8000/v1", allow_http=True))
    assert made.host == "10.0.0.7:8000"


def test_an_image_behind_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def answer(asked: dict[str, Any]) -> Reply:
        return Reply(200, json.dumps({"created": 1, "data": [{"url": f"{host.url}/x.png"}]}).encode(), json_type)

    json_type = {"Content-Type": "application/json"}
    with serve(answer) as host:
        host.files["/x.png"] = png("behind")
        made = OpenAIGenerator("m", OpenAIOptions(base_url=f"{host.url}/v1", response_format="url", retries=0))
        np.testing.assert_array_equal(made.generate("a cat", 1, 0)[0].pixels, noise("behind"))
        assert "authorization" not in host.seen[1][1]
        host.files.clear()
        with pytest.raises(HostError, match="status 404 for the image's own URL"):
            made.generate("a cat", 1, 0)
        host.script.append(Reply(200, b'{"created": 1, "data": [{"url": "file:///etc/passwd"}]}', json_type))
        with pytest.raises(BadGenerationError):
            made.generate("a cat", 1, 0)
