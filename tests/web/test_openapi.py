"""The schema: whole, true to the records, and a guide for a fuzzer that finds no 5xx."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

from morelli.cli.app import build
from morelli.types import Item
from morelli.web import schemas

from .conftest import files
from .process import Running, running

BODIES: dict[str, type[BaseModel]] = {
    "identify": schemas.VerdictBody,
    "check": schemas.CheckBody,
    "verify": schemas.VerificationBody,
}
# Options of the command line that are the operator's, or only change what a terminal shows; and regeneration's.
NOT_OFFERED = {
    "identify": {"trust", "top", "json", "generators", "inverter", "gamma", "similarity", "yes-send"},
    "check": {"json"},
    "verify": {"json"},
    "protect": {"json", "out", "sheet", "overwrite", "surrogate", "recipe", "lpips"},
}


@pytest.fixture(scope="module")
def schema(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_all_paths_are_there(schema: dict[str, Any]) -> None:
    found = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    assert found == {
        ("/v1/identify", "post"),
        ("/v1/verify", "post"),
        ("/v1/check", "post"),
        ("/v1/protect", "post"),
        ("/v1/galleries", "get"),
        ("/healthz", "get"),
        ("/metrics", "get"),
    }


@pytest.mark.parametrize("name", [*BODIES, "protect"])
def test_options_are_the_command_line_s(schema: dict[str, Any], name: str) -> None:
    body = schema["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    command = build().commands[name]
    options = {option.lstrip("-") for each in command.params for option in each.opts if option.startswith("--")}
    assert set(body["properties"]) - {"image"} == options - NOT_OFFERED[name]
    defaults = {each.opts[0].lstrip("-"): each.default for each in command.params if each.opts[0].startswith("--")}
    for option, told in body["properties"].items():
        if "default" in told and told["default"] is not None:
            assert told["default"] == defaults[option], option
    assert body["additionalProperties"] is False
    assert body["required"] == (["image", "model"] if name == "check" else ["image"])


@pytest.mark.parametrize("name", BODIES)
def test_answers_are_as_described(client: TestClient, queries: list[Item], name: str) -> None:
    sent = files(*[item.path for item in queries[: 2 if name == "verify" else 1]])
    told = client.post(f"/v1/{name}", files=sent, data={"model": "model-00"} if name == "check" else {}).json()
    BODIES[name].model_validate(told)
    with pytest.raises(ValidationError):
        BODIES[name].model_validate({**told, "more": 1})
    with pytest.raises(ValidationError):
        BODIES[name].model_validate({key: value for key, value in told.items() if key != "decision"})


def test_the_other_answers_are_as_described(client: TestClient) -> None:
    schemas.GalleriesBody.model_validate(client.get("/v1/galleries").json())
    schemas.HealthBody.model_validate(client.get("/healthz").json())
    schemas.ErrorBody.model_validate(client.get("/nowhere").json())


def test_every_operation_tells_its_errors(schema: dict[str, Any]) -> None:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            for status, told in operation["responses"].items():
                if status != "200":
                    reference = told["content"]["application/json"]["schema"]["$ref"]
                    assert reference == "#/components/schemas/ErrorBody", path
            assert {"403", "500"} <= set(operation["responses"])


def test_limits_are_options_of_the_command() -> None:
    from morelli.web.settings import MIB, Settings

    params = {each.name: each for each in build().commands["serve"].params}
    in_mib = {"max_bytes": "max_mib", "max_request": "max_request_mib", "decode_memory": "decode_mib",
              "held_bytes": "held_mib"}  # fmt: skip
    for field in fields(Settings):
        name = in_mib.get(field.name, field.name)
        scale = MIB if field.name in in_mib else 1
        assert params[name].default * scale == field.default, field.name


# -- fuzzing ----------------------------------------------------------------------------------------------------------

CASES = 60
QUESTIONS = ("/v1/identify", "/v1/verify", "/v1/check", "/v1/protect")


def checks() -> list[Any]:
    """What must hold of every answer. Not among them: that whatever fits the schema is accepted, for no schema can say
    what an image is, or which models a gallery has."""
    import schemathesis
    from schemathesis.specs.openapi import checks as known

    return [
        schemathesis.checks.not_a_server_error,
        known.status_code_conformance,
        known.content_type_conformance,
        known.response_schema_conformance,
        known.response_headers_conformance,
        known.unsupported_method,
    ]


@pytest.fixture(scope="module")
def server(gallery: Path, learnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ["--gallery", gallery, "--max-pixels", 100_000, "--rate", 0]
    with running(options, tmp_path_factory.mktemp("log") / "server", learnt) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("path", [*QUESTIONS, "/v1/galleries", "/healthz", "/metrics"])
def test_schemathesis_finds_no_server_error(server: Running, path: str, queries: list[Item]) -> None:
    """Positive and negative cases over the schema; in every second one images and names are replaced by real ones."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    (operation,) = [each.ok() for each in schema.get_all_operations() if each.ok().path == path]
    strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    asks = path in QUESTIONS
    if asks:
        strategy |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    real = [item.path.read_bytes() for item in queries]
    seen: Counter[int] = Counter()
    decided: list[str] = []

    @seed(7)
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def fuzz(case: Any) -> None:
        if seen.total() % 2 and isinstance(case.body, dict) and "image" in case.body:
            case.body["image"] = real[: 2 if path == "/v1/verify" else 1]
            for name in ("gallery", "encoder", "method", "prompt"):
                case.body.pop(name, None)
            if "model" in case.body:
                case.body["model"] = "model-00"
            if path == "/v1/protect":
                for name in ("epsilon", "steps", "seed"):  # they play no part in it
                    case.body.pop(name, None)
                case.body["defence"] = "canonical"  # the cheap encoder has no gradients
        answer = case.call()
        seen[answer.status_code] += 1
        decided.extend(re.findall(r'"decision": "([^"]+)"', answer.text))
        case.validate_response(answer, checks=checks())

    fuzz()
    print(path, dict(seen), len(decided))
    assert set(seen) <= {200, 401, 405, 408, 409, 413, 415, 422, 429}
    if asks:
        assert seen.total() >= CASES
        assert seen[422] > 0
        assert decided, "the fuzzer saw the door only"


def test_a_server_error_would_be_seen() -> None:
    """The checks can fail: an answer with status 500, and one that the schema does not know."""
    import schemathesis
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    raw = {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {"/x": {"get": {"responses": {"200": {"description": "good"}}}}},
    }
    for status, said in ((500, "Server error"), (418, "Undocumented status code")):
        app = Starlette(routes=[Route("/x", lambda request, status=status: JSONResponse({}, status))])
        schema = schemathesis.openapi.from_dict(raw)
        case = schema["/x"]["GET"].Case()
        answer = case.call(app=app, base_url="http://127.0.0.1")
        with pytest.raises(BaseExceptionGroup) as caught:
            case.validate_response(answer, checks=checks())
        assert said in [each.title for each in caught.value.exceptions]
