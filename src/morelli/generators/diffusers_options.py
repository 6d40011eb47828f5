"""Options of ``diffusers``, and what they must be."""

from __future__ import annotations

from dataclasses import dataclass

from morelli.errors import InputError
from morelli.generators.options import check_range


@dataclass(frozen=True)
class DiffusersOptions:
    """Options of ``diffusers``.

    Attributes
    ----------
    model, family : str, optional
        What datasets call it; by default the id, or the folder's name, and the names of LoRA weights.
    base : str, optional
        The model that it was derived from, as datasets call it.
    revision, variant : str, optional
        Of a model on the hub: branch, tag or commit; "fp16" and the like.
    lora : tuple of str
        Safetensors files, folders with one, or hub ids; all are applied.
    lora_scale : float
        Strength of all of them.
    scheduler : str, optional
        Class name of a scheduler that the pipeline is compatible with.
    steps : int, optional
    guidance : float, optional
    negative_prompt : str, optional
    width, height : int, optional
        Pixels; both or none.
    dtype : str
        "auto" (bfloat16 on a GPU that has it, else float16 there; float32 on a CPU), "float32", "float16", "bfloat16".
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    """

    model: str | None = None
    family: str | None = None
    base: str | None = None
    revision: str | None = None
    variant: str | None = None
    lora: tuple[str, ...] = ()
    lora_scale: float = 1.0
    scheduler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    dtype: str = "auto"
    device: str = "auto"

    def check(self, where: str) -> None:
        """Refuse values that cannot be meant.

        Parameters
        ----------
        where : str
            Names the generator in messages.

        Raises
        ------
        InputError
        """
        for name in ("width", "height"):
            check_range(where, name, getattr(self, name), 8, 16384)
        check_range(where, "steps", self.steps, 1, 10_000)
        check_range(where, "guidance", self.guidance, 0)
        check_range(where, "lora_scale", self.lora_scale, -100, 100)
        if (self.width is None) != (self.height is None):
            raise InputError("needs both width and height, or none.", argument=where)
        if self.dtype not in ("auto", "float32", "float16", "bfloat16"):
            raise InputError(f"dtype must be auto, float32, float16 or bfloat16; got {self.dtype}.", argument=where)
