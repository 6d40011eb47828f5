"""Train a residual denoiser on a folder of photographs.

::

    python -m training.denoiser --photos DIR --out denoiser.safetensors --minutes 10
    python -m training.denoiser --photos DIR --out denoiser-17x64.safetensors --form 17x64 --minutes 60 \\
        --begin denoiser.safetensors --rate 5e-4

The number of steps is planned from the minutes when training begins. It may be stopped at any time and goes on where
it was, step for step as if it had not been stopped. The weights, and their record as JSON, are written at the end. A
denoiser of 17x64 is used where the environment names it: MORELLI_DENOISER=FILE.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from training.denoiser.data import read_photographs
from training.denoiser.trainer import Settings, Trainer, explained

from morelli.fingerprint.denoiser import Form, save_denoiser


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.denoiser", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs, searched through")
    parser.add_argument("--out", type=Path, required=True, help="weights file; its checkpoint lies beside it (.pt)")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--form", default="9x32", help="depth x width; published: 17x64")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=96, help="side in pixels")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--bfloat16", action="store_true", help="twice as quick where the processor computes in it")
    parser.add_argument("--begin", default="", help="weights of a smaller denoiser to grow from; try --rate 5e-4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    depth, width = (int(part) for part in asked.form.split("x"))
    settings = Settings(
        Form(depth, width), asked.batch, asked.patch, asked.rate, asked.seed, asked.bfloat16, asked.begin
    )
    photographs = read_photographs(asked.photos, max(asked.patch, 2 * depth + 1))
    trainer = Trainer(settings, photographs, asked.out.with_suffix(".pt"), asked.device)
    trainer.plan(asked.minutes * 60)
    if not trainer.run(asked.minutes * 60 * 1.25):
        print(f"stopped at step {trainer.step} of {trainer.planned}; the same command goes on from there")
        return
    folded = trainer.net.cpu().eval().folded()
    record = trainer.record() | {"photographs": len(photographs.training), "form": str(settings.form)}
    record |= {f"explained_{s:g}": round(explained(folded, photographs.held_out, s), 4) for s in (0.5, 1.0, 2.0, 3.0)}
    record["sha256"] = save_denoiser(folded, asked.out)
    asked.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
