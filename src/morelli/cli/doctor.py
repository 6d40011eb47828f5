"""``morelli doctor``: what is installed, what is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from morelli.cli.output import emit_json


def _answer(value: bool | None) -> str:
    return "not known" if value is None else "yes" if value else "no"


def _torch_line(torch: Mapping[str, Any]) -> str:
    if torch["version"] is None:
        return f"not installed: {torch['fix']}"
    if "problem" in torch:
        return f"{torch['version']} {torch['problem']} {torch['fix']}"
    gpus = ", ".join(torch["gpus"]) or "no GPU"
    return f"{torch['version']} ({torch['build']} build, {gpus}, {torch['threads']} threads)"


def _encoder_line(encoder: Mapping[str, Any]) -> str:
    if encoder["ready"]:
        return f"ready, weights {encoder['revision']}"
    return f"NOT READY: {encoder['problem']} {encoder['fix'] or ''}".rstrip()


def lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The report as pairs of what it is and what was found."""
    cpu = report["cpu"]
    yield "morelli", report["version"]
    yield "Python", f"{report['python']['version']} ({report['python']['executable']})"
    yield "platform", report["platform"]
    yield "CPU", f"{cpu['machine']}, {cpu['cores']} cores, bf16: {_answer(cpu['bf16'])}, AMX: {_answer(cpu['amx'])}"
    yield "torch", _torch_line(report["torch"])
    for name, entry in report["packages"].items():
        yield name, entry["version"] or f"not installed: {entry['fix']}"
    for name, there in report["keys"].items():
        yield name, "set" if there else "not set (needed for hosted generators only)"
    for encoder in report["encoders"]:
        yield encoder["id"], _encoder_line(encoder)
    for encoder in report["hub_encoders"]:
        yield encoder["id"], "here" if encoder["here"] else f"not fetched ({encoder['megabytes']:,} MB)"
    if report["cache"] is not None:
        yield "cache", f"{report['cache']['folder']}, {report['cache']['bytes'] / 1e6:.1f} MB"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command()
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Show what is installed, what is missing and how to get it."""
        from morelli.cli.diagnosis import diagnose

        report = diagnose()
        if as_json:
            emit_json(report)
            return
        pairs = list(lines(report))
        width = max(len(name) for name, _ in pairs)
        for name, found in pairs:
            print(f"{name:{width}}  {found}")
