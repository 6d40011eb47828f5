"""Adding references to a gallery, and removing a model from it, for visitors with the role ``write``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from morelli.encoders.embed import embed
from morelli.errors import InputError, MorelliError
from morelli.gallery.store import Gallery
from morelli.gallery.thumbnail import make_thumbnail
from morelli.images.load import Picture
from morelli.names import refuse_reserved
from morelli.types import Reference
from morelli.web.answers import Answer
from morelli.web.forms import Upload
from morelli.web.page.changes import numbers, recorded
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place
from morelli.web.page.words import problem
from morelli.web.tokens import Caller

#: How the audit log calls the two changes.
ADD, REMOVE = "gallery add", "gallery remove"


def add_references(
    place: Place,
    caller: Caller,
    job: Job,
    name: str,
    uploads: Sequence[Upload],
    model: str,
    family: str,
    prompt: str,
) -> None:
    """Add images to a gallery under its usual encoder, in one commit; those that cannot be read are told.

    They are decoded in the processes that decode all visitors' files. Degraded copies, from which attributors learn
    what compression does, are made by ``morelli gallery add`` alone.

    Raises
    ------
    InputError
        No model was named, or a picture is known under another label: nothing is added then.
    ReservedNameError
        The model is called as verdicts call images of no model.
    """
    if not model:
        raise InputError("must be named.", argument="model", fix="Say which model made the images.")
    refuse_reserved(model, "model")
    found = place.desk.galleries.current(name)
    encoder = place.desk.galleries.encoder(found.encoder_of(None))
    images = place.desk.images(uploads, job.place)
    pictures: list[Picture] = []
    for number, upload in enumerate(uploads):
        job.report("reading", number, len(uploads))
        started = time.monotonic()
        digest, read = images.read(upload)
        upload.file.file.close()
        if isinstance(read, MorelliError):
            place.record(caller, ADD, Answer.failed(read, upload.name, [digest]), started)
            job.shown.append(problem(read, upload.name))
            continue
        pictures.append(read.picture)
    if not pictures:
        return
    made = embed(encoder, pictures, progress=lambda done, total: job.report("embedding", done, total))
    for row, error in made.errors:
        failed = Answer.failed(error, pictures[row].name, [pictures[row].sha256])
        place.record(caller, ADD, failed, time.monotonic())
        job.shown.append(problem(error, pictures[row].name))
    kept = [pictures[row] for row in made.rows]
    if not kept:
        return
    known = found.view.references()
    family = family or next((each.family for each in known if each.model == model), model)
    ids, wording = _prompt(known, prompt)
    references = [_reference(picture, model, family, ids, wording) for picture in kept]
    thumbnails = [make_thumbnail(picture.pixels) for picture in kept]
    job.report("writing", 0, 0)
    with recorded(place, caller, job, ADD, found.name, model, [picture.sha256 for picture in kept]) as change:
        gallery = Gallery.open(place.desk.galleries.places[found.name])
        changed = gallery.add(references, thumbnails, made.vectors, encoder.stamp)
        change.made = numbers(changed)
        # Told within the block: where the log's last line cannot be written, the visitor still learns what was done.
        job.shown.append(
            f'<p role="status"><b>{changed.added} added</b>, {changed.updated} updated, {changed.unchanged} there '
            f"already. The gallery is at version {changed.version}.</p>"
        )


def remove_model(place: Place, caller: Caller, job: Job, name: str, model: str, again: str) -> None:
    """Remove all references of a model, in one commit; earlier versions on disk keep them.

    Raises
    ------
    InputError, UnknownNameError
        The two names differ; the gallery has no such model.
    """
    if not model or model != again:
        raise InputError("must be written twice, both times the same.", argument="model")
    current = place.desk.galleries.current(name)  # for its name in messages, and where it cannot be opened
    job.report("removing", 0, 0)
    with recorded(place, caller, job, REMOVE, current.name, model) as change:
        gallery = Gallery.open(place.desk.galleries.places[current.name])
        gone = gallery.remove(models=[model])
        change.made = {"version": gallery.version, "removed": gone}
        job.shown.append(f'<p role="status"><b>{gone} references</b> of {escape(model)} removed.</p>')


def _prompt(known: Sequence[Reference], given: str) -> tuple[str, str]:
    """Id and wording of a prompt: the gallery's own where it knows it under either, else the text for both."""
    return next(((each.prompt_id, each.prompt) for each in known if given and given in (each.prompt_id, each.prompt)),
                (given, given))  # fmt: skip


def _reference(picture: Picture, model: str, family: str, prompt_id: str, prompt: str) -> Reference:
    height, width, _ = picture.pixels.shape
    return Reference(
        content=picture.content,
        sha256=picture.sha256,
        name=picture.name,
        model=model,
        family=family,
        prompt_id=prompt_id,
        prompt=prompt,
        width=width,
        height=height,
    )
