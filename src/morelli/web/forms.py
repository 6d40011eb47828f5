"""A multipart body becomes image files and options, within the limits, and never more of it is read than they allow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from morelli.errors import InputError
from morelli.web.problems import RefusedError
from morelli.web.settings import Settings

#: Options of one request, and bytes of one of them.
MAX_FIELDS, MAX_FIELD = 32, 64 * 1024
#: Characters of an image's name that are shown.
SHOWN_NAME = 200
FIELD = "image"


class Options(BaseModel):
    """Form fields of a question beside its images; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


O = TypeVar("O", bound=Options)  # noqa: E741 - a type's name


@dataclass(frozen=True, slots=True)
class Upload:
    """One image file of a request; its bytes lie on the disk where they are many.

    Attributes
    ----------
    name : str
        As the client gave it, one printable line; "image-1" and so on where it gave none.
    size : int
        Bytes.
    """

    name: str
    size: int
    file: UploadFile

    def data(self) -> bytes:
        """The file's bytes."""
        self.file.file.seek(0)
        return self.file.file.read()


@dataclass(frozen=True)
class Form:
    """A request's images and options."""

    images: tuple[Upload, ...]
    fields: Mapping[str, str]
    raw: FormData

    async def close(self) -> None:
        """Delete what lies on the disk."""
        await self.raw.close()


async def read_form(request: Request, settings: Settings) -> Form:
    """Receive a request's body.

    Raises
    ------
    RefusedError
        413: more bytes than ``settings.max_request``; 415: not ``multipart/form-data``.
    InputError
        No form, too many fields or images, an option given twice or as a file, an image given as text.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        fix = f'Send a form with a file field, as: curl -F "{FIELD}=@picture.png"'
        raise RefusedError(415, f"the body must be multipart/form-data, and is {kind or 'of no type'}.", fix=fix)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.max_request:
        raise _too_large(settings)
    parser = MultiPartParser(
        request.headers,
        _limited(request, settings),
        max_files=settings.max_images,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD,
    )
    try:
        raw = await parser.parse()
    except MultiPartException as error:
        raise InputError(f"the form cannot be read: {error.message.rstrip('.')}.", argument="body") from error
    try:
        return _sorted(raw)
    except InputError:
        await raw.close()
        raise


def parse_options(kind: type[O], fields: Mapping[str, str]) -> O:
    """The options of a question; an `InputError` that names the first one that is wrong."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        known = [field.alias or name for name, field in kind.model_fields.items()]
        if first["type"] == "extra_forbidden":
            raise InputError("is no option here.", argument=name, fix=f"Known: {', '.join(known)}.") from error
        raise InputError(f"{first['msg'][:1].lower()}{first['msg'][1:]}.", argument=name) from error


def form_schema(kind: type[Options], least: int, most: int) -> dict[str, Any]:
    """The body of a question, as OpenAPI describes it."""
    schema = kind.model_json_schema(by_alias=True)
    images = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": least,
        "maxItems": most,
        "description": "Image files: PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, AVIF; HEIF where its reader is there.",
    }
    properties = {FIELD: images, **schema.get("properties", {})}
    required = [FIELD, *schema.get("required", [])]
    body = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"required": True, "content": {"multipart/form-data": {"schema": body}}}


async def _limited(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > settings.max_request:
            raise _too_large(settings)
        yield chunk


def _too_large(settings: Settings) -> RefusedError:
    message = f"the request is larger than the limit of {settings.max_request} bytes."
    return RefusedError(413, message, fix="Send fewer images at a time.")


def _sorted(raw: FormData) -> Form:
    images: list[Upload] = []
    fields: dict[str, str] = {}
    for name, value in raw.multi_items():
        if name == FIELD:
            if isinstance(value, str):
                fix = f'Send it with a file name, as: curl -F "{FIELD}=@picture.png"'
                raise InputError("must be a file, and is text.", argument=FIELD, fix=fix)
            images.append(Upload(_shown(value.filename, len(images) + 1), value.size or 0, value))
        elif not isinstance(value, str):
            raise InputError("must be text, and is a file.", argument=_shown(name, 0))
        elif name in fields:
            raise InputError("was given twice.", argument=_shown(name, 0))
        else:
            fields[name] = value
    return Form(tuple(images), fields, raw)


def _shown(name: str | None, number: int) -> str:
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in (name or "")[:SHOWN_NAME])
    return text or f"image-{number}"
