"""Content Credentials, signed by certificates of our own making: valid, known, changed, pasted, appended, crashed."""

from __future__ import annotations

import copy
import os
import socket
import time
from pathlib import Path

import pytest

from morelli.errors import InputError
from morelli.images.claims import credentials
from morelli.images.claims.credentials import MISSING, load_roots
from morelli.images.claims.credentials_worker import report
from morelli.images.claims.manifest import GATHERED
from morelli.images.claims.read import read_claims
from morelli.images.claims.report import report_claims
from morelli.types import Claim, FileClaims
from tests.images.claims import files, signing

ME = signing.identity("Test Works")
SIGNED = signing.sign(files.png(), "image/png", ME)
ROOT = ME.root.decode()


def signature(found: FileClaims) -> Claim:
    assert found.claims, found.notes
    return found.claims[0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_signed_by_nobody_known(kind: str) -> None:
    mime = f"image/{kind.lower()}"
    data = SIGNED if kind == "PNG" else signing.sign(files.saved(kind), mime, ME)
    found = read_claims(data)
    assert [claim.signed for claim in found.claims] == [False, False, False]
    assert {claim.source for claim in found.claims} == {"Content Credentials (no known root)"}
    said = found.claims[0].statement
    assert 'a certificate that names "Test Works" and chains to no root that you named: anyone can make one' in said
    known = read_claims(data, roots=ROOT)  # the very same file, below a root that is known
    assert [claim.signed for claim in known.claims] == [True, True, True]
    assert [claim.statement for claim in known.claims[1:]] == [claim.statement for claim in found.claims[1:]]
    assert [claim.statement for claim in found.claims[1:]] == [
        'written by "Test Painter 1.0"',
        'created by "Painter 3", digital source type trainedAlgorithmicMedia: made by a trained model',
    ]
    assert found.notes == ()


def test_signed_below_a_known_root(tmp_path: Path) -> None:
    known, other = tmp_path / "known.pem", tmp_path / "other.pem"
    known.write_bytes(ME.root)
    other.write_bytes(signing.identity().root)
    claim = signature(read_claims(SIGNED, roots=load_roots(known)))
    assert (claim.source, claim.signed) == ('Content Credentials, signer "Test Works"', True)
    assert "chains to a root that you named" in claim.statement
    claim = signature(read_claims(SIGNED, roots=load_roots(other)))
    assert (claim.source, claim.signed) == ("Content Credentials (no known root)", False)


def test_a_chain_that_brings_its_own_root_is_not_known_by_it() -> None:
    """A forger with the same names everywhere, root included: only the key of the root tells."""
    forger = signing.identity("Test Works")
    claims = read_claims(signing.sign(files.png(), "image/png", forger), roots=ROOT).claims
    assert claims
    assert not any(claim.signed for claim in claims)


def assert_invalid(found: FileClaims, said: str = "not of this file as it is") -> None:
    assert said in signature(found).statement
    assert {claim.source for claim in found.claims} == {"Content Credentials (invalid)"}
    assert not any(claim.signed for claim in found.claims)


def test_a_manifest_of_another_file_is_never_signed() -> None:
    manifest = b"".join(whole for kind, whole in files.chunks_of(SIGNED) if kind == b"caBX")
    assert manifest
    assert_invalid(read_claims(files.png(manifest, seed=1), roots=ROOT))


def test_changed_pixels_texts_and_appended_bytes_are_never_signed() -> None:
    data = bytearray(SIGNED)
    data[-30] ^= 1  # in the pixels
    assert_invalid(read_claims(bytes(data), roots=ROOT))
    assert_invalid(read_claims(SIGNED + b"a payload", roots=ROOT))
    forged = SIGNED[:33] + files.text("parameters", files.INFOTEXT) + SIGNED[33:]
    found = read_claims(forged, roots=ROOT)
    assert not any(claim.signed for claim in found.claims)
    assert any('model "dreamshaper_8"' in claim.statement for claim in found.claims)


def test_an_appended_manifest_is_not_read() -> None:
    manifest = b"".join(whole for kind, whole in files.chunks_of(SIGNED) if kind == b"caBX")
    jpeg = signing.sign(files.saved("JPEG"), "image/jpeg", ME)
    start = jpeg.index(b"\xff\xeb")
    for data in (files.png() + manifest, files.saved("JPEG") + jpeg[start:], files.png() + SIGNED):
        found = read_claims(data, roots=ROOT)
        assert not any(claim.signed for claim in found.claims), found
        assert any("bytes follow the end of the image" in note for note in found.notes)
    found = read_claims(files.png() + manifest)
    assert found.claims == ()
    assert any("do not stand where they belong" in note for note in found.notes)


def test_two_manifests_and_broken_ones_are_never_signed() -> None:
    manifest = b"".join(whole for kind, whole in files.chunks_of(SIGNED) if kind == b"caBX")
    twice = SIGNED[:33] + manifest + SIGNED[33:]
    broken = SIGNED.replace(b"c2pa.signature", b"c2pa.signaturf")
    for data in (twice, broken):
        found = read_claims(data, roots=ROOT)
        assert not any(claim.signed for claim in found.claims)
        assert found.claims or found.notes


def test_a_signature_says_what_it_covers_and_a_text_beside_it_is_anyone_s() -> None:
    data = signing.sign(files.png(files.text("parameters", files.INFOTEXT)), "image/png", ME)
    found = read_claims(data, roots=ROOT)
    assert [claim.signed for claim in found.claims] == [True, True, True, False]


def test_what_was_gathered_is_not_the_signer_s_own_word() -> None:
    gathered = copy.deepcopy(signing.MANIFEST)
    del gathered["assertions"][0]["created"]
    old = {**gathered, "claim_version": 1}  # knows no difference
    own, other, before = (
        read_claims(signing.sign(files.png(), "image/png", ME, manifest), roots=ROOT).claims[2]
        for manifest in (signing.MANIFEST, gathered, old)
    )
    assert own.statement.endswith("made by a trained model")
    assert other == Claim(own.source, own.statement + GATHERED, signed=True)
    assert before == own


def test_names_in_a_certificate_are_cleaned() -> None:
    evil = signing.identity('X" \x1b[1m signed by "OpenAI')
    data = signing.sign(files.png(), "image/png", evil)
    said = signature(read_claims(data, roots=evil.root.decode()))
    assert "\x1b" not in said.statement + said.source
    assert "signer \"X' [1m signed by 'OpenAI\"" in said.source
    said = signature(read_claims(data))
    assert "\x1b" not in said.statement + said.source
    assert "names \"X' [1m signed by 'OpenAI\" and chains to no root" in said.statement


def test_a_wrong_extension_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "signed.jpg"
    path.write_bytes(SIGNED)
    assert read_claims(path, roots=ROOT).claims == read_claims(SIGNED, roots=ROOT).claims


def test_an_absent_reader_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "find_spec", lambda name: None)
    found = read_claims(SIGNED)
    assert (found.claims, found.notes) == ((), (MISSING,))
    assert read_claims(files.png()).notes == ()  # nothing to read, nothing to say


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(60)", "took more than"),
        ("import os; os.abort()", "crashed or passed its limits"),
        ("raise SystemExit(3)", "crashed or passed its limits"),
        ("print('noise')", "crashed or passed its limits"),
    ],
)
def test_a_reader_that_hangs_or_crashes_is_said(monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    monkeypatch.setattr(credentials, "WORKER", ("-c", code))
    monkeypatch.setattr(credentials, "PATIENCE", 1.0)
    found = read_claims(SIGNED)
    assert found.claims == ()
    assert said in found.notes[0]


def test_no_secret_reaches_the_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the command line too, where nobody has filtered the environment before."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a key to the gallery")
    monkeypatch.setenv("HF_TOKEN", "a key to the hub")
    told = tmp_path / "environment"
    monkeypatch.setattr(credentials, "WORKER", ("-c", f"import os; open({str(told)!r}, 'w').write(repr(os.environ))"))
    read_claims(SIGNED)
    environment = told.read_text()
    assert os.environ["PATH"] in environment
    for name in ("AWS_", "HF_TOKEN", "a key"):
        assert name not in environment


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", "x = bytearray(3 * 2**30)"], ids=["time", "memory"])
def test_the_reader_s_own_limits_hold(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    pytest.importorskip("resource", reason="this system limits no process")
    start = "from morelli.images.claims.credentials_worker import limit_this_process as limit; limit(0)"
    monkeypatch.setattr(credentials, "WORKER", ("-c", f"{start}\n{code}"))
    monkeypatch.setattr(credentials, "PATIENCE", 60.0)
    begun = time.monotonic()
    assert "crashed or passed its limits" in read_claims(SIGNED).notes[0]
    assert time.monotonic() - begun < 50


def test_a_changed_byte_in_a_manifest_changes_no_signed_claim() -> None:
    """A signature covers all but padding and labels of boxes: whatever else is changed, the file is not signed."""
    start, end = SIGNED.index(b"caBX") + 4, SIGNED.index(b"IDAT") - 8
    honest = report_claims(report(SIGNED, "image/png", ROOT)["report"])
    assert honest
    assert all(claim.signed for claim in honest)
    refused = 0
    for place in range(start, end, 13):
        data = bytearray(SIGNED)
        data[place] ^= 0x55
        found = report(bytes(data), "image/png", ROOT)
        told = report_claims(found["report"]) if "report" in found else []
        if any(claim.signed for claim in told):
            assert told == honest, place
        else:
            refused += 1
    assert refused > (end - start) // 13 // 2


def test_nothing_is_fetched() -> None:
    """Credentials that are kept at an address: it is named, and nobody knocks there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/m.c2pa"
        packet = files.xmp(attributes=f'dcterms:provenance="{address}"')
        # The words at the end make sure that the reader is asked.
        found = read_claims(files.png(files.xmp_chunk(packet)) + b"jumb c2pa")
        with pytest.raises(TimeoutError):
            server.accept()
    assert not any(claim.signed for claim in found.claims)
    assert any(address in claim.statement and "nothing is fetched" in claim.statement for claim in found.claims)


def test_roots_that_are_none(tmp_path: Path) -> None:
    assert load_roots(None) is None
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path, tmp_path / "absent.pem"):
        with pytest.raises(InputError, match="--trust"):
            load_roots(path)
