"""What ``morelli doctor`` finds out: versions, the CPU, encoders and their weights, the cache."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from morelli._version import __version__
from morelli.errors import MorelliError

DOCTOR_SCHEMA = "morelli.doctor/1"

#: Package → how to install it where it is absent.
PACKAGES: dict[str, str] = {
    "numpy": "pip install numpy",
    "scipy": "pip install scipy",
    "pillow": "pip install pillow",
    "pylance": "pip install pylance",
    "pyarrow": "pip install pyarrow",
    "matplotlib": "pip install matplotlib",
    "transformers": 'pip install "morelli[transformers]"',
    "safetensors": 'pip install "morelli[transformers]"',
    "diffusers": 'pip install "morelli[generators]"',
    "peft": 'pip install "morelli[generators]"',
    "huggingface_hub": 'pip install "morelli[hosted]"',
    "openai": 'pip install "morelli[hosted]"',
    "c2pa-python": 'pip install "morelli[claims]"',
    "scikit-learn": 'pip install "morelli[figures]"',
    "fastapi": 'pip install "morelli[serve]"',
    "uvicorn": 'pip install "morelli[serve]"',
    "gradio": 'pip install "morelli[page]"',
    "ray": 'pip install "morelli[ray]"',
    "pi-heif": 'pip install "morelli[heif]"',
    "mitsuba-oidn": 'pip install "morelli[oidn]"',
}

#: Environment variables that hold keys of hosted generators; only whether they are set is told.
KEYS = ("HF_TOKEN", "OPENAI_API_KEY")

# Instruction sets as the kernel names them, on x86 and on ARM.
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_AMX_FLAGS = frozenset({"amx_tile"})


def cpu_flags(text: str) -> frozenset[str]:
    """Instruction sets that a ``/proc/cpuinfo`` names (``flags`` on x86, ``Features`` on ARM)."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _cpu() -> dict[str, Any]:
    """Cores that this process may use, and whether the CPU has bf16 and AMX; None where the system does not tell."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    flags = cpu_flags(info.read_text(errors="replace")) if info.is_file() else frozenset()
    return {
        "machine": platform.machine(),
        "cores": cores,
        "bf16": bool(flags & _BF16_FLAGS) if flags else None,
        "amx": bool(flags & _AMX_FLAGS) if flags else None,
    }


def _torch() -> dict[str, Any]:
    """torch's version, build and devices; a torch that is there and does not load says why."""
    try:
        found = version("torch")
    except PackageNotFoundError:
        return {"version": None, "fix": "pip install torch"}
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"version": found, "problem": f"does not load: {error}", "fix": "Install it anew: pip install torch"}
    return {
        "version": found,
        "build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


def _packages() -> dict[str, dict[str, str | None]]:
    """Version of each package that is not torch, or how to install it."""
    out: dict[str, dict[str, str | None]] = {}
    for name, fix in PACKAGES.items():
        try:
            out[name] = {"version": version(name), "fix": None}
        except PackageNotFoundError:
            out[name] = {"version": None, "fix": fix}
    return out


def _encoders() -> list[dict[str, Any]]:
    """Each registered encoder: whether it loads, which checks its weights' SHA-256, and what is wrong where not."""
    from morelli.encoders.catalogue import encoder_names, load_encoder

    out = []
    for name in encoder_names():
        entry: dict[str, Any] = {"id": name, "ready": False, "revision": None, "problem": None, "fix": None}
        try:
            entry |= {"revision": load_encoder(name).stamp.revision, "ready": True}
        except MorelliError as error:
            entry |= {"problem": error.message, "fix": error.fix}
        except Exception as error:  # noqa: BLE001 - another package's encoder may fail in any way, and this reports it
            entry["problem"] = f"{type(error).__name__}: {error}"
        out.append(entry)
    return out


def _hub_encoders() -> list[dict[str, Any]]:
    """Each encoder of the catalogue that comes from a hub, and whether its weights are on this machine."""
    from morelli.encoders.catalogue import CATALOGUE
    from morelli.encoders.weights import find_checkpoint

    out = []
    for info in CATALOGUE:
        if info.offline:
            continue
        try:
            find_checkpoint(info.id.removeprefix("hf:"), local_files_only=True)
            here = True
        except MorelliError:
            here = False
        out.append({"id": info.id, "here": here, "megabytes": info.megabytes, "licence": info.licence})
    return out


def folder_size(folder: Path) -> int:
    """Bytes of the files under a folder; 0 where there is none."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            # A file may go away meanwhile: caches are written by other processes.
            with contextlib.suppress(FileNotFoundError):
                total += Path(base, name).lstat().st_size
    return total


def diagnose() -> dict[str, Any]:
    """All that ``doctor`` knows, as the object of schema ``morelli.doctor/1``."""
    torch = _torch()
    report = {
        "schema": DOCTOR_SCHEMA,
        "version": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "torch": torch,
        "packages": _packages(),
        "keys": {name: bool(os.environ.get(name)) for name in KEYS},
        "encoders": [],
        "hub_encoders": [],
        "cache": None,
    }
    if "build" in torch:  # encoders need a torch that loads
        from morelli.encoders.cache import default_folder

        folder = default_folder()
        report["encoders"] = _encoders()
        report["hub_encoders"] = _hub_encoders()
        report["cache"] = {"folder": str(folder), "bytes": folder_size(folder)}
    return report
