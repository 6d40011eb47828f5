"""Mutated files: a named error or claims, soon, and never a signed one."""

from __future__ import annotations

import contextlib
import json
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from morelli.errors import MorelliError
from morelli.images.claims.automatic1111 import parse_infotext
from morelli.images.claims.carried import Carried
from morelli.images.claims.comfyui import parse_graph, parse_workflow
from morelli.images.claims.exif import read_exif
from morelli.images.claims.generation import generation_claims
from morelli.images.claims.read import read_claims
from morelli.images.claims.tools import parse_invokeai, parse_invokeai_2, parse_object
from morelli.images.claims.xmp import properties
from tests.images.claims import files
from tests.images.claims.test_tools import FOOOCUS, INVOKE, NOVELAI

_PACKET = files.xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{files.SOURCE_TYPE}"')
_BLOCK = files.exif({0x010E: (2, files.INFOTEXT.encode()), 0x0131: (2, b"x\0")}, {0x9286: (7, b"ASCII\0\0\0abc")})
SEEDS = [
    files.png(
        files.text("parameters", files.INFOTEXT),
        files.ztext("prompt", json.dumps(files.GRAPH).encode()),
        files.itext("Comment", b"{}", packed=True),
        files.xmp_chunk(_PACKET),
        files.chunk(b"eXIf", _BLOCK),
        side=24,
    ),
    files.jpeg(
        files.segment(0xE1, b"Exif\0\0" + _BLOCK),
        files.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _PACKET),
        files.segment(0xFE, b"comment"),
        side=24,
    ),
    files.saved("WEBP", side=24, exif=_BLOCK, xmp=_PACKET),
    files.saved("TIFF", side=24, tiffinfo={270: files.INFOTEXT, 700: _PACKET}),
    files.saved("GIF", side=24, comment=files.INFOTEXT),
    files.saved("AVIF", side=24, exif=_BLOCK),
]
SILENT = [files.saved(kind, side=24) for kind in ("BMP", "PPM")]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "class_type", "model", "image", "prompt", "nodes", "base_model", "loras", "a"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound file with some bytes changed, a stretch taken out or doubled, or cut."""
    data = bytearray(draw(st.sampled_from([*SEEDS, *SILENT])))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
        )
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 200)))
    how = draw(st.sampled_from(["keep", "remove", "double", "cut"]))
    if how == "remove":
        del data[start:end]
    elif how == "double":
        data[start:start] = data[start:end]
    elif how == "cut":
        del data[start:]
    return bytes(data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mutated())
def test_mutated_files(data: bytes) -> None:
    begun = time.process_time()
    try:
        found = read_claims(data)
    except MorelliError:
        return
    finally:
        assert time.process_time() - begun < 2.0
    assert not any(claim.signed for claim in found.claims)
    json.dumps(found.to_json())
    for claim in found.claims:
        assert claim.statement.isprintable()
        assert claim.source.isprintable()


@settings(max_examples=200, deadline=None)
@given(_json)
def test_parsers_take_any_json(value: object) -> None:
    for parse in (parse_graph, parse_workflow, parse_object, parse_invokeai, parse_invokeai_2):
        found = parse(value)
        if found is not None:
            assert found.claim("x").statement.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.text(max_size=400))
def test_readers_take_any_bytes(data: bytes, value: str) -> None:
    read_exif(b"II*\0" + data, Carried())
    parse_infotext(f"{value}\nSteps: 1, {value}, Seed: 2")
    carried = Carried()
    for key in ("parameters", "prompt", "Dream", "Description", "Software", "Comment", "sd-metadata"):
        carried.text("PNG tEXt", key, value)
    assert all(claim.statement.isprintable() for claim in generation_claims(carried))
    with contextlib.suppress(MorelliError):
        properties(data)


def test_the_seeds_say_something() -> None:
    for seed in SEEDS:
        assert any('model "dreamshaper_8"' in claim.statement for claim in read_claims(seed).claims)
    for record in (FOOOCUS, INVOKE, NOVELAI):
        assert record
