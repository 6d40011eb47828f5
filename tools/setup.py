"""Make the project's own virtual environment, once: python tools/setup.py [--extra dev] [--venv .venv].

Needs Python 3.11 or newer and nothing else. A stamp in the environment remembers what was installed, so that a second
call with the same pyproject.toml and constraints.txt ends at once.

Plain pip on Linux takes a torch that brings gigabytes of CUDA libraries. This asks pip first what it would take, and
stops where that is so and nobody asked for it.

Environment variables
    TORCH=cuda       take the build with CUDA
    TORCH_INDEX=URL  also look for torch on this package index (of CPU builds, or of another CUDA)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
_LARGE = re.compile(r"^(nvidia[-_]|triton$|pytorch[-_]triton|cuda[-_])", re.IGNORECASE)

WHY_STOPPED = """\
pip would install a torch with CUDA: {names}, gigabytes in all.
Nothing was installed. Choose one:
  TORCH_INDEX=URL make {target}   take a CPU build from the index at URL (PyTorch's install page names it)
  TORCH=cuda make {target}        take the large one (for an NVIDIA GPU)
"""


class SetupError(Exception):
    """Why the environment could not be made, in words for the user."""


def large_packages(report: Mapping[str, Any]) -> list[str]:
    """Names of the GPU packages in an installation report of pip, sorted."""
    names = {entry["metadata"]["name"] for entry in report.get("install", ())}
    return sorted(name for name in names if _LARGE.match(name))


def check_torch(report: Mapping[str, Any], wanted: str, target: str) -> None:
    """Stop where pip would bring CUDA and ``wanted`` (the variable TORCH) does not say so.

    Raises
    ------
    SetupError
        With the ways on.
    """
    if wanted not in ("", "cpu", "cuda"):
        raise SetupError(f"TORCH is {wanted!r}; it may be cuda, cpu or empty.\n")
    large = large_packages(report)
    if large and wanted != "cuda":
        shown = ", ".join(large[:3]) + (f" and {len(large) - 3} more" if len(large) > 3 else "")
        raise SetupError(WHY_STOPPED.format(names=shown, target=target))


def fingerprint(root: Path, extra: str) -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256(f"{extra} {sys.version}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def _run(command: list[str], what: str) -> None:
    if subprocess.run(command).returncode:
        raise SetupError(f"{what} failed; its own words stand above.\n")


def _make_venv(venv: Path) -> Path:
    """The environment's python; the environment is made where it is absent."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    has_pip = (
        python.exists() and not subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode
    )
    if not has_pip:
        print(f"making {venv}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)]).returncode:
            raise SetupError(
                f"{sys.executable} cannot make a virtual environment. Install its venv module "
                "(Debian: the package python3-venv), or name another Python: make PYTHON=python3.12 …\n"
            )
    return python


def _hash_choice(torch: str, index: str) -> str:
    """Which build of torch was asked for; hashed, for an index's URL may hold a password."""
    return hashlib.sha256(f"{torch.removeprefix('cpu')} {index}".encode()).hexdigest()


def _ask_pip(python: Path, options: list[str]) -> dict[str, Any]:
    """What pip would install for torch."""
    command = [str(python), "-m", "pip", "install", "-qq", "--dry-run", "--report", "-", *options, "torch"]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        raise SetupError("pip found no torch that fits constraints.txt; its own words stand above.\n")
    return json.loads(done.stdout)


def set_up(root: Path, venv: Path, extra: str, target: str) -> None:
    """Make the environment and install the project into it, unless that was done before.

    Raises
    ------
    SetupError
        When it cannot be done; the next call starts where this one stopped.
    """
    if sys.version_info < OLDEST:
        raise SetupError(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 …\n"
        )
    torch, index = os.environ.get("TORCH", ""), os.environ.get("TORCH_INDEX", "")
    note, choice = venv / ".torch-choice", _hash_choice(torch, index)
    # pip would keep the torch that is there.
    if (torch or index) and note.exists() and note.read_text() != choice:
        raise SetupError(f"{venv} was made for another build of torch. Remove it first: make clean\n")
    stamp = venv / f".installed-{extra or 'base'}"
    wanted = fingerprint(root, extra)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    python = _make_venv(venv)
    options = ["--constraint", str(root / "constraints.txt")]
    if index:
        options += ["--extra-index-url", index]
    check_torch(_ask_pip(python, options), torch, target)
    print("installing morelli and what it needs; this can take minutes", flush=True)
    project = f"{root}[{extra}]" if extra else str(root)
    _run([str(python), "-m", "pip", "install", "-qq", *options, "--editable", project], "pip")
    if not note.exists():
        note.write_text(choice)
    stamp.write_text(wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the project's own virtual environment.")
    parser.add_argument("--extra", default="", help="extra of pyproject.toml to install as well")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--target", default="test", help="the make target to name in advice")
    given = parser.parse_args()
    try:
        set_up(ROOT, given.venv, given.extra, given.target)
    except SetupError as error:
        print(f"error: {error}", end="", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
