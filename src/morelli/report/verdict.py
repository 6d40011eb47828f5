"""A verdict as HTML, for the report and for the web page: what was decided, how sure that is, and the evidence.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart, darkened on white as far as
text needs it; whatever a colour says is also said in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

#: Models of a ranking that are shown at once; the others open on a click.
SHOWN = 8
#: A verdict's field: whether the file was asked what it says of itself. Verdicts that lack it do not say.
CLAIMS_READ = "claims_read"
# How the note begins that says why the file's claims could not be read at all.
_UNREAD = "Claims not read:"

VERDICT_STYLE = """
.verdict{--yes:#0072b2;--maybe:#b36b00;--no:#c04f00;--rest:#8a93a0;margin:1rem 0 2rem}
@media(prefers-color-scheme:dark){.verdict{--yes:#56b4e9;--maybe:#e69f00;--no:#ff8a47;--rest:#8f99a8}}
.verdict .top{display:flex;flex-wrap:wrap;gap:1rem 1.4rem;align-items:flex-start}
.verdict .top>div{flex:1 1 17rem;min-width:0}
.verdict .look{flex:0 1 13rem;margin:0}
.verdict .look img{min-width:8rem;max-width:100%;max-height:15rem;border-radius:.5rem;display:block}
.verdict .said{font-size:1.7rem;font-weight:700;line-height:1.2;margin:.1rem 0 .4rem;overflow-wrap:anywhere}
.verdict .said.yes{color:var(--yes)}.verdict .said.maybe{color:var(--maybe)}.verdict .said.no{color:var(--no)}
.verdict p{margin:.25rem 0}
.verdict h4{font-size:1rem;font-weight:650;margin:1.2rem 0 .3rem}
.verdict .name{color:var(--muted);font-size:.9rem;overflow-wrap:anywhere}
.verdict table.rank{width:100%;border-collapse:collapse;table-layout:fixed}
.verdict table.rank th,.verdict table.rank td{border:0;padding:.2rem .3rem;white-space:normal;vertical-align:middle}
.verdict table.rank thead th{font-size:.85rem;color:var(--muted);font-weight:400;border-bottom:1px solid var(--grid)}
.verdict table.rank tbody th{overflow-wrap:anywhere;text-align:left;font-weight:500}
.verdict .rank small{color:var(--muted);display:block;font-weight:400}
.verdict .rank col.who{width:38%}.verdict .rank col.much{width:6rem}.verdict .rank col.in{width:6.2rem}
.verdict .bar{display:block;height:1rem;border-radius:.2rem;background:var(--grid);overflow:hidden}
.verdict .bar i{display:block;height:100%;background:var(--rest)}
.verdict tr.in .bar i{background:var(--yes)}
.verdict .near{display:flex;flex-wrap:wrap;gap:.7rem;list-style:none;margin:.3rem 0;padding:0}
.verdict .near li{width:8rem;font-size:.8rem;line-height:1.3;overflow-wrap:anywhere;margin:0}
.verdict .near img{width:8rem;height:8rem;object-fit:cover;border-radius:.4rem;display:block;margin:0 0 .2rem}
.verdict .near .none{width:8rem;height:8rem;border:1px dashed var(--grid);border-radius:.4rem;display:grid;
place-items:center;color:var(--muted);text-align:center;margin-bottom:.2rem}
.verdict .tag{display:inline-block;border:1px solid currentColor;border-radius:1rem;padding:0 .5rem;font-size:.8rem}
.verdict .tag.yes{color:var(--yes)}.verdict .tag.maybe{color:var(--maybe)}
.verdict dl.how{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;font-size:.9rem;margin:.3rem 0}
.verdict dl.how dt{color:var(--muted)}.verdict dl.how dd{margin:0;overflow-wrap:anywhere}
.verdict .side{display:flex;flex-wrap:wrap;gap:0 1.6rem}.verdict .side>*{flex:1 1 17rem;min-width:0}
.verdict .spectrum img{width:100%;max-width:16rem;image-rendering:pixelated;border-radius:.4rem;display:block}
@media(max-width:30rem){.verdict .rank col.in{width:0}.verdict .rank .mark{display:none}
.verdict .said{font-size:1.4rem}}
"""


@dataclass(frozen=True)
class Pictures:
    """Pictures that stand beside a verdict, as the text of a link each; "" where there is none.

    Attributes
    ----------
    query : str
        The image that was asked about.
    spectrum : str
        The spectrum of its residual.
    near : mapping of str to str
        By the verdict's own name of a reference.
    """

    query: str = ""
    spectrum: str = ""
    near: Mapping[str, str] = field(default_factory=dict)


def verdict_html(verdict: Mapping[str, Any], pictures: Pictures = Pictures(), extra: str = "") -> str:
    """A verdict as a piece of HTML; every text is escaped.

    Parameters
    ----------
    verdict : mapping
        Schema ``morelli.verdict/1``.
    pictures : Pictures
    extra : str
        HTML that stands below.
    """
    look = _look(verdict["image"], pictures.query)
    near = _near(verdict["evidence"], pictures.near)
    return (
        f'<section class="verdict" aria-label="{escape(verdict["image"], quote=True)}">'
        f'<div class="top">{look}<div>{_said(verdict)}{_ranking(verdict)}</div></div>'
        f'{near}<div class="side"><div>{_stability(verdict["stability"])}{_claims(verdict)}</div>'
        f"{_spectrum(pictures.spectrum)}</div>{_notes(verdict['notes'])}{_how(verdict)}{extra}</section>"
    )


def percent(share: float) -> str:
    """A fraction for people: "87.3 %", and "< 0.1 %" rather than a zero that is none."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def headline(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """The decision in words, and the class that colours it."""
    decision = verdict["decision"]
    if decision == "none":
        return "None of these models", "no"
    if decision == "unsure":
        return "Unsure", "maybe"
    return decision, "yes"


def _look(name: str, link: str) -> str:
    if not link:
        return ""
    return f'<figure class="look"><img src="{escape(link, quote=True)}" alt="{escape(name, quote=True)}"></figure>'


def _said(verdict: Mapping[str, Any]) -> str:
    words, kind = headline(verdict)
    first = verdict["ranking"][0] if verdict["ranking"] else None
    lines = []
    if kind == "yes" and first is not None:
        sure = "calibrated" if verdict["calibrated"] else "not calibrated"
        lines.append(f"{percent(first['probability'])} for this model ({sure}).")
    elif kind == "no":
        lines.append("It does not look like any model of the gallery.")
    else:
        lines.append("What was seen does not decide between the models.")
    if not verdict["calibrated"] and kind != "yes":
        lines.append("The shares below are not calibrated.")
    p = verdict["unknown"]["p_value"]
    if p is not None:
        lines.append(f"That one of the known models made it: p = {p:.3f}{' (too small)' if kind == 'no' else ''}.")
    candidates = verdict["candidates"]
    listed = ", ".join(candidates) if candidates else "none"
    lines.append(f"Candidates at ε = {verdict['epsilon']:g}: {listed}.")
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<p class="name">{escape(verdict["image"])}</p><p class="said {kind}">{escape(words)}</p>{text}'


def _ranking(verdict: Mapping[str, Any]) -> str:
    ranking, candidates = verdict["ranking"], set(verdict["candidates"])
    if not ranking:
        return ""
    much = "Probability" if verdict["calibrated"] else "Share (not calibrated)"
    head = (
        '<table class="rank"><colgroup><col class="who"><col><col class="much"><col class="in"></colgroup><thead><tr>'
        f'<th scope="col">Model</th><th scope="col" aria-hidden="true"></th><th scope="col" class="n">{much}</th>'
        '<th scope="col" class="mark">Candidate</th></tr></thead>'
    )
    rows = [_row(line, line["model"] in candidates) for line in ranking]
    more = ""
    if len(rows) > SHOWN:
        more = (
            f"<details><summary>{len(rows) - SHOWN} more models</summary>{head}<tbody>{''.join(rows[SHOWN:])}</tbody>"
            "</table></details>"
        )
    return f"{head}<tbody>{''.join(rows[:SHOWN])}</tbody></table>{more}"


def _row(line: Mapping[str, Any], candidate: bool) -> str:
    family = "" if line["family"] == line["model"] else f"<small>{escape(line['family'])}</small>"
    width = max(0.0, min(100.0, 100 * line["probability"]))
    mark = '<span class="tag yes">candidate</span>' if candidate else ""
    return (
        f'<tr class="{"in" if candidate else ""}"><th scope="row">{escape(line["model"])}{family}</th>'
        f'<td aria-hidden="true"><span class="bar"><i style="width:{width:.1f}%"></i></span></td>'
        f'<td class="n">{percent(line["probability"])}</td><td class="mark">{mark}</td></tr>'
    )


def _near(evidence: Sequence[Mapping[str, Any]], links: Mapping[str, str]) -> str:
    if not evidence:
        return ""
    items = []
    for each in evidence:
        link, name = links.get(each["reference"], ""), escape(each["reference"])
        seen = '<span class="none">no picture kept</span>' if links else ""
        if link:
            seen = f'<img src="{escape(link, quote=True)}" alt="Reference of {escape(each["model"], quote=True)}">'
        items.append(f'<li title="{name}">{seen}<b>{escape(each["model"])}</b><br>distance {each["distance"]:.3f}</li>')
    return f'<h4>Nearest references</h4><ol class="near">{"".join(items)}</ol>'


def _stability(found: Mapping[str, Any]) -> str:
    if found["agreement"] is None:
        return ""
    degraded = found["degradations"]
    kept = round(found["agreement"] * len(degraded))
    lines = "".join(f"<li>{escape(each['name'])}: {escape(each['model'])}</li>" for each in degraded)
    return (
        f"<h4>Stability</h4><p>{kept} of {len(degraded)} degraded copies keep the first place.</p>"
        f"<details><summary>Who comes first in each</summary><ul>{lines}</ul></details>"
    )


def _claims(verdict: Mapping[str, Any]) -> str:
    said = f"<p>{_silent(verdict)}</p>"
    if verdict["claims"]:
        lines = []
        for each in verdict["claims"]:
            kind, word = ("yes", "signed") if each["signed"] else ("maybe", "anyone could have written this")
            text = escape(f"{each['source']}: {each['statement']}")
            lines.append(f'<li>{text} <span class="tag {kind}">{word}</span></li>')
        said = f"<ul>{''.join(lines)}</ul>"
    return f"<h4>What the file says of itself</h4>{said}<p class='name'>This does not enter the verdict.</p>"


def _silent(verdict: Mapping[str, Any]) -> str:
    """Why there is no claim: the file was not asked, could not be, or has none. An old verdict does not say which."""
    if any(note.startswith(_UNREAD) for note in verdict["notes"]):
        return "It was not read; what kept it from being read stands below."
    read = verdict.get(CLAIMS_READ)
    if read is None:
        return "No claim is given: either it says nothing that could be read, or it was not asked."
    return "It says nothing that could be read." if read else "It was not asked."


def _spectrum(link: str) -> str:
    if not link:
        return ""
    alt = "Spectrum of what a median filter takes away; frequency zero in the middle."
    return (
        f'<figure class="spectrum"><h4>Residual spectrum</h4><img src="{escape(link, quote=True)}" alt="{alt}">'
        f"<figcaption class='name'>{alt} Regular dots and lines are traces of the generator or of the codec; the "
        "verdict does not come from this picture.</figcaption></figure>"
    )


def _notes(notes: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h4>To know</h4><ul>{lines}</ul>" if lines else ""


def _how(verdict: Mapping[str, Any]) -> str:
    entries = [
        *method_entries(verdict["method"]),
        ("SHA-256", verdict["sha256"]),
        ("Morelli", verdict["version"]),
    ]
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in entries)
    return f'<details><summary>How it was told</summary><dl class="how">{lines}</dl></details>'


def method_entries(method: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """How a verdict was come to, as (name, value): what its method has, and nothing of what it has not."""
    fresh = method.get("generators")
    k = "all" if method["k"] is None else method["k"] or "none"
    entries = [
        ("method", method["name"]),
        ("similarity", method.get("similarity")),
        ("encoder", named(method["encoder"], method["encoder_revision"])),
        ("gallery", method["gallery"] and f"{method['gallery']}, version {method['gallery_version']}"),
        ("references a model, of the prompt", k) if fresh is None else ("fresh images a model", method.get("gamma", k)),
        *(("generator", _generator(each)) for each in fresh or ()),
        ("inverter", named(method.get("inverter"), method.get("inverter_revision"))),
        ("prompt used", method["prompt_used"] or "none"),
        ("seed", method.get("seed")),
    ]
    return [(name, value) for name, value in entries if value is not None]


def named(name: Any, revision: Any) -> str | None:
    """A part of a method with its revision, where it has one; None where there is no such part."""
    return None if name is None else f"{name} ({revision})" if revision else str(name)


def _generator(each: Mapping[str, Any]) -> str:
    model = "" if each.get("model") in (None, each["id"]) else f", for {each['model']}"
    host = f", at {each['host']}" if each.get("host") else ""
    return f"{named(each['id'], each.get('revision'))}{model}{host}"
