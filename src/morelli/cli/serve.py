"""``morelli serve``: the HTTP API and the web page."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from morelli.cli.claims import TrustOption
from morelli.cli.output import say
from morelli.devices import share_heaps
from morelli.errors import InputError, MissingExtraError
from morelli.web.settings import MIB, Settings

_DEFAULT = Settings()
#: What the extra brings.
PARTS = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def _limit(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Limits")


def _work(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="How the work is done")


def _bytes(option: str, mib: float) -> int:
    if not 1 <= mib * MIB < math.inf:
        raise InputError(f"must be more than 0; got {mib:g}.", argument=option)
    return int(mib * MIB)


def _datasets(given: Sequence[str]) -> dict[str, str]:
    """Names and folders from ``NAME=PATH`` or ``PATH``, which is called after its last part."""
    places: dict[str, str] = {}
    for text in given:
        named, mark, rest = text.partition("=")
        whole = Path(text)
        name, place = (named, Path(rest)) if mark and not whole.exists() else (whole.resolve().name, whole)
        if not name or name in places:
            raise InputError(f"two datasets are called {name!r}.", argument="--dataset", fix="Name them: NAME=PATH")
        if not place.is_dir():
            raise InputError(f"{place} is no folder.", argument="--dataset")
        places[name] = str(place)
    return places


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(serve)


def serve(
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            help="Gallery with the references, or NAME=PATH; may be given several times, the first is the usual one. "
            "MORELLI_GALLERY where none is given.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; one that others can reach needs tokens.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: one that is free.")] = 8000,
    tokens: Annotated[
        Path | None,
        typer.Option(
            help="File of mode 600 with lines of NAME ROLE TOKEN; roles are read and write. Or MORELLI_TOKENS.",
            show_default=False,
        ),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address or network of a reverse proxy whose X-Forwarded-For, -Proto and -Host are believed; may be "
            "given several times. Needs tokens.",
            show_default=False,
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path below which a proxy offers the server, such as /morelli.", show_default=False)
    ] = "",
    audit: Annotated[
        Path | None, typer.Option(help="File to which one JSON line an answer is added.", show_default=False)
    ] = None,
    trust: TrustOption = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="The only methods that may be asked for, with commas between; the first is the usual one. All where "
            "none is named. Each that is asked takes memory.",
            show_default=False,
        ),
    ] = None,
    page: Annotated[
        bool | None,
        typer.Option(
            "--page/--no-page", help="The web page at /page/; by default where gradio is installed.", show_default=False
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Dataset, or NAME=PATH, whose exposure the page may show; may be given several times.",
            show_default=False,
        ),
    ] = None,
    max_mib: Annotated[float, _limit("MiB of one image file.")] = _DEFAULT.max_bytes / MIB,
    max_pixels: Annotated[int, _limit("Width × height of one image.")] = _DEFAULT.max_pixels,
    max_images: Annotated[int, _limit("Images of one request.")] = _DEFAULT.max_images,
    max_request_mib: Annotated[float, _limit("MiB of one request.")] = _DEFAULT.max_request / MIB,
    rate: Annotated[
        int, _limit("Requests a minute of one token, or of one address where there are no tokens; 0: no limit.")
    ] = _DEFAULT.rate,
    concurrent: Annotated[int, _limit("Requests that are worked on at a time.")] = _DEFAULT.concurrent,
    queue: Annotated[int, _limit("Requests that may wait; one more gets 503.")] = _DEFAULT.queue,
    share: Annotated[
        float, _limit("Share of these places that one token, or one address without tokens, may take; 1: all.")
    ] = _DEFAULT.share,
    connections: Annotated[int, _limit("Open connections.")] = _DEFAULT.connections,
    seconds: Annotated[float, _limit("Seconds until a request has its answer, or 503.")] = _DEFAULT.seconds,
    protect_seconds: Annotated[
        float, _limit("The same of a request to protect images; its upload counts, and has --seconds.")
    ] = _DEFAULT.protect_seconds,
    grace: Annotated[float, _limit("Seconds that requests have left once the server is stopped.")] = _DEFAULT.grace,
    header_seconds: Annotated[
        float, _limit("Seconds for a request's head, and for taking an answer.")
    ] = _DEFAULT.header_seconds,
    decode_seconds: Annotated[float, _limit("Seconds to decode one image.")] = _DEFAULT.decode_seconds,
    decode_mib: Annotated[float, _limit("MiB to decode one image.")] = _DEFAULT.decode_memory / MIB,
    decoders: Annotated[int, _work("Processes that decode images.")] = _DEFAULT.decoders,
    batch: Annotated[int, _work("Images of one run of the network.")] = _DEFAULT.batch,
    wait_ms: Annotated[float, _work("Milliseconds that a run waits for more images.")] = _DEFAULT.wait_ms,
    held_mib: Annotated[
        float, _work("MiB of embeddings, and of what was learnt from them, that are kept in memory.")
    ] = _DEFAULT.held_bytes / MIB,
) -> None:
    """Serve identify, check, verify and protect over HTTP, and a web page, until it is stopped (Ctrl-C, SIGTERM).

    The schema is at /openapi.json. Nothing is ever fetched for a caller.

    A gallery that changes is seen at once; while a large one is learnt anew, the version before answers.
    """
    share_heaps()
    settings = Settings(
        max_bytes=_bytes("--max-mib", max_mib), max_pixels=max_pixels, max_images=max_images,
        max_request=_bytes("--max-request-mib", max_request_mib), rate=rate, concurrent=concurrent, queue=queue,
        share=share, connections=connections, seconds=seconds, grace=grace, header_seconds=header_seconds,
        decoders=decoders, decode_seconds=decode_seconds, decode_memory=_bytes("--decode-mib", decode_mib), batch=batch,
        wait_ms=wait_ms, held_bytes=_bytes("--held-mib", held_mib), protect_seconds=protect_seconds,
    )  # fmt: skip
    if not all(find_spec(part) for part in PARTS):
        raise MissingExtraError("serve", "Serving")
    paged = find_spec("gradio") is not None if page is None else page
    if paged and not find_spec("gradio"):
        raise MissingExtraError("page", "The web page")
    if dataset and not paged:
        raise InputError("datasets are shown on the page, and there is none.", argument="--dataset", fix="Add --page.")
    from morelli.web.addresses import refuse_open_door
    from morelli.web.desk import open_desk
    from morelli.web.facades import parse_methods
    from morelli.web.front import parse_front
    from morelli.web.server import serve as run
    from morelli.web.tokens import read_tokens

    known = read_tokens(tokens)
    refuse_open_door(host, bool(known))  # before anything is loaded
    front = parse_front(proxy or (), root_path, bool(known))
    datasets = _datasets(dataset or ())
    offered = parse_methods(methods)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # No request may make this machine fetch anything; a network from a hub must be here before.
    os.environ["HF_HUB_OFFLINE"] = "1"
    usual = os.environ.get("MORELLI_GALLERY")  # a list from typer's own variable would be split at spaces
    galleries = gallery or ([usual] if usual else [])
    desk = open_desk(galleries, settings, tokens=known, audit=audit, trust=trust, front=front, methods=offered)
    made = None
    if paged:
        from morelli.web.page.mount import build_page

        made = build_page(desk, datasets)
    run(desk, host, port, say, made)
