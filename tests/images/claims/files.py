"""Files that claim things: containers written byte by byte, so that tests do not rest on the readers they check."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

INFOTEXT = (
    "a cat, on a mat\nwith a hat\nNegative prompt: dog\n"
    "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1234, Size: 512x512, "
    'Model hash: abc123def0, Model: dreamshaper_8, Lora hashes: "one: 11, two: 22", Version: v1.9.4'
)

GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 99,
            "steps": 25,
            "cfg": 6.5,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "juggernautXL_v9.safetensors"}},
    "40": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "never_used.safetensors"}},
    "41": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "RealESRGAN_x4.pth"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["11", 0], "filename_prefix": "x"}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "film.safetensors", "model": ["4", 0], "clip": ["4", 1]},
    },
    "11": {"class_type": "ImageUpscaleWithModel", "inputs": {"image": ["8", 0], "upscale_model": ["41", 0]}},
}

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def noise(side: int = 64, seed: int = 0) -> np.ndarray:
    """Pixels, shape (side, side, 3), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def saved(kind: str = "PNG", *, side: int = 64, seed: int = 0, **options: Any) -> bytes:
    """A sound picture without a text."""
    file = io.BytesIO()
    Image.fromarray(noise(side, seed)).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def text(key: str, value: str) -> bytes:
    """tEXt."""
    return chunk(b"tEXt", key.encode() + b"\0" + value.encode())


def ztext(key: str, value: bytes) -> bytes:
    """zTXt."""
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(value, 9))


def itext(key: str, value: bytes, *, packed: bool = False) -> bytes:
    """iTXt."""
    body = zlib.compress(value, 9) if packed else value
    return chunk(b"iTXt", key.encode() + bytes([0, packed, 0]) + b"en\0\0" + body)


def png(*chunks: bytes, side: int = 64, seed: int = 0) -> bytes:
    """A PNG with chunks between its header and its pixels."""
    plain = saved("PNG", side=side, seed=seed)
    return plain[:33] + b"".join(chunks) + plain[33:]


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes, **options: Any) -> bytes:
    """A JPEG with segments behind its start."""
    plain = saved("JPEG", **options)
    return plain[:2] + b"".join(segments) + plain[2:]


def exif(
    entries: dict[int, tuple[int, bytes]], inner: dict[int, tuple[int, bytes]] | None = None, order: str = "<"
) -> bytes:
    """A TIFF structure: tag → (type, value), of the main directory and of the EXIF directory."""
    inner = inner or {}
    main = dict(entries)
    if inner:
        main[0x8769] = (4, b"")
    sizes = [2 + 12 * len(each) + 4 for each in (main, inner)]
    place = 8 + sizes[0] + (sizes[1] if inner else 0)
    values, tables = b"", []
    for table in (main, inner) if inner else (main,):
        out = struct.pack(order + "H", len(table))
        for tag, (kind, value) in sorted(table.items()):
            if tag == 0x8769:
                out += struct.pack(order + "HHII", tag, 4, 1, 8 + sizes[0])
            elif len(value) <= 4:
                out += struct.pack(order + "HHI", tag, kind, len(value)) + value.ljust(4, b"\0")
            else:
                out += struct.pack(order + "HHII", tag, kind, len(value), place + len(values))
                values += value
        tables.append(out + bytes(4))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + b"".join(tables) + values


def comment_exif(value: str, encoding: str = "utf-16-be", order: str = "<") -> bytes:
    """EXIF with a UserComment."""
    return exif({}, {0x9286: (7, b"UNICODE\0" + value.encode(encoding))}, order)


def xmp(body: str = "", attributes: str = "") -> bytes:
    """A packet as Adobe writes it."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:dcterms="http://purl.org/dc/terms/" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/"'
        f" {attributes}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def xmp_chunk(packet: bytes) -> bytes:
    """A PNG chunk with a packet."""
    return itext("XML:com.adobe.xmp", packet)


def comfyui_png(graph: dict[str, Any] | None = None) -> bytes:
    """As ComfyUI saves it."""
    return png(text("prompt", json.dumps(GRAPH if graph is None else graph)), text("workflow", '{"nodes": []}'))


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and whole bytes of each chunk of a PNG."""
    out, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        out.append((data[place + 4 : place + 8], data[place : place + 12 + length]))
        place += 12 + length
    return out
