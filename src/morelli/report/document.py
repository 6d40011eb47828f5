"""One self-contained HTML file from the answers of other commands, with where each of them comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from morelli._version import __version__
from morelli.errors import InputError
from morelli.report.evaluation import evaluation_title
from morelli.report.evaluation_page import fill_evaluation
from morelli.report.exposure import exposure_title
from morelli.report.exposure_page import fill_exposure
from morelli.report.inputs import LOG, Given, log_parts
from morelli.report.page import Page, listing, paragraph, table
from morelli.report.table import Column
from morelli.report.training_page import fill_training
from morelli.report.verdict import VERDICT_STYLE, Pictures, headline, named, verdict_html
from morelli.types import ERROR_SCHEMA, EVALUATION_SCHEMA, EXPOSURE_SCHEMA

# On paper a page does not scroll, and nothing opens on a click.
_PRINT = (
    "@media print{body{max-width:none}nav{display:none}.scroll{overflow:visible}figure,tr{break-inside:avoid}"
    "details:not([open])>*{display:block}details::details-content{content-visibility:visible}}"
)


class _Part:
    """A page's sections under a name of their own, so that several inputs can share it."""

    def __init__(self, page: Page, name: str, title: str) -> None:
        self._page, self._name, self._title = page, name, title

    def section(self, name: str, title: str, *parts: str) -> None:
        """As `Page.section`."""
        head = f"{self._title}: {title}" if self._title else title
        self._page.section(f"{self._name}{name}", head, *parts)


def document(given: Sequence[Given], pictures: Callable[[Mapping[str, Any]], Pictures] | None = None) -> str:
    """The report as HTML.

    Parameters
    ----------
    given : sequence of Given
    pictures : callable, optional
        The pictures that stand beside a verdict; without it there are none.

    Raises
    ------
    InputError
        Nothing was given, or an input holds something else than its schema says.
    """
    if not given:
        raise InputError("there is nothing to report.", argument="INPUT")
    title = _title(given[0]) if len(given) == 1 else f"Report on {len(given)} results"
    page = Page(title, f"Made by Morelli {__version__} from what its commands wrote.", VERDICT_STYLE + _PRINT)
    for number, each in enumerate(given, start=1):
        alone = len(given) == 1
        part: Any = page if alone else _Part(page, f"r{number}-", _title(each))
        try:
            _fill(part, each, "" if alone else f"r{number}-", pictures or (lambda verdict: Pictures()))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            told = f"{type(error).__name__}: {error}"
            raise InputError(f"does not hold what {each.schema} promises ({told}).", argument=each.name) from error
    page.section("provenance", "Where this comes from", _provenance(given))
    return page.render()


def _title(each: Given) -> str:
    first = next((one for one in each.objects if one.get("schema") != ERROR_SCHEMA), each.objects[0])
    if each.schema == EVALUATION_SCHEMA:
        return f"Evaluation of {_last(first['dataset'])}, {first['protocol']}"
    if each.schema == EXPOSURE_SCHEMA:
        return f"Exposure of {_last(first['dataset'])}"
    if each.schema == LOG:
        return f"Training: {each.name}"
    if len(each.objects) > 1:
        return f"Verdicts on {len(each.objects)} images"
    return f"Verdict on {_last(str(first.get('image') or each.name))}"


def _last(path: object) -> str:
    return str(path).rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def _fill(page: Any, each: Given, name: str, pictures: Callable[[Mapping[str, Any]], Pictures]) -> None:
    if each.schema == EVALUATION_SCHEMA:
        page.section("asked", "What was measured", paragraph(evaluation_title(dict(each.objects[0]))))
        fill_evaluation(page, each.objects[0], name)
    elif each.schema == EXPOSURE_SCHEMA:
        page.section("asked", "What was measured", paragraph(exposure_title(each.objects[0])))
        fill_exposure(page, each.objects[0], name=name)
    elif each.schema == LOG:
        _training(page, each, name)
    else:
        _verdicts(page, each.objects, pictures)


def _training(page: Any, each: Given, name: str) -> None:
    heads, lines = log_parts(each)
    if heads:
        asked = [{"setting": key, "value": value} for key, value in heads[0]["settings"].items()]
        page.section("asked", "What was asked", table(asked, (Column("setting"), Column("value")), "Settings"))
    if lines:
        fill_training(page, lines, name)


def _verdicts(
    page: Any, objects: Sequence[Mapping[str, Any]], pictures: Callable[[Mapping[str, Any]], Pictures]
) -> None:
    good = [one for one in objects if one["schema"] != ERROR_SCHEMA]
    if len(objects) > 1:
        rows = [
            {
                "image": _last(one["image"]),
                "decision": headline(one)[0],
                "probability": one["ranking"][0]["probability"] if one["ranking"] else None,
                "candidates": len(one["candidates"]),
                "signed": sum(claim["signed"] for claim in one["claims"]),
            }
            for one in good
        ]
        columns = (Column("image"), Column("decision"), Column("probability", "first place, %", "percent"),
                   Column("candidates", form="count"), Column("signed", "signed claims", "count"))  # fmt: skip
        page.section("overview", "Overview", table(rows, columns, "All images"))
    if good:
        shown = [verdict_html(one, pictures(one)) for one in good]
        page.section("verdicts", "Verdicts" if len(shown) > 1 else "Verdict", *shown)
    failed = [f"{one.get('image') or one.get('argument')}: {one['message']}" for one in objects if one not in good]
    if failed:
        page.section("failed", "Images without a verdict", listing(failed))


def _provenance(given: Sequence[Given]) -> str:
    rows = [row for each in given for row in _sources(each)]
    columns = [
        Column(key)
        for key in (
            "file", "schema", "Morelli", "libraries", "encoder", "revision", "preprocessing", "gallery", "generators",
            "inverter", "seed", "SHA-256 of the images", "SHA-256 of the file",
        )
    ]  # fmt: skip
    kept = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    return table(rows, kept, "Inputs, and what made them; – where an input does not say")


def _sources(each: Given) -> list[dict[str, Any]]:
    """A row for each way in which the input's answers were made."""
    out: list[dict[str, Any]] = []
    objects = (each.schema == LOG and log_parts(each)[0]) or each.objects
    for one, encoder in [(given, encoder) for given in objects for encoder in _encoders(given)]:
        method = _object(one.get("method"))
        gallery = method.get("gallery")
        row = {
            "file": each.name,
            "schema": one.get("schema", LOG),
            "Morelli": one.get("version"),
            "libraries": _libraries(one),
            "encoder": method.get("encoder") or encoder.get("id"),
            "revision": method.get("encoder_revision") or encoder.get("revision"),
            "preprocessing": encoder.get("preprocessing"),
            "gallery": None if gallery is None else f"{gallery}, version {method.get('gallery_version')}",
            "generators": ", ".join(str(_object(made).get("id")) for made in method.get("generators") or ()) or None,
            "inverter": named(method.get("inverter"), method.get("inverter_revision")),
            "seed": one.get("seed", method.get("seed")),
            "SHA-256 of the images": one.get("images_sha256"),
            "SHA-256 of the file": each.sha256,
        }
        if row not in out:
            out.append(row)
    return out


def _libraries(one: Mapping[str, Any]) -> str | None:
    """What computed it, where that is said: ``versions``, or of a training's log ``torch``."""
    found = _object(one.get("versions")) or {"torch": one.get("torch")}
    return ", ".join(f"{name} {version}" for name, version in found.items() if version) or None


def _encoders(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The encoders that an evaluation compares; else the one that there is."""
    given = one.get("encoders")
    compared = [encoder for encoder in given if _object(encoder).get("id")] if isinstance(given, list) else []
    return compared or [_object(one.get("encoder"))]


def _object(value: Any) -> Mapping[str, Any]:
    """The value where it is an object; an exposure's method is a name."""
    return value if isinstance(value, dict) else {}
