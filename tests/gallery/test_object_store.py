"""Galleries on an S3-compatible object store, against a real server on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from morelli.cli import main
from morelli.encoders.cache import EmbeddingCache
from morelli.enrol import enrol
from morelli.errors import GalleryError, MissingGalleryError, StorageError
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Verdict

from ..encoders.toys import ToyEncoder
from .samples import add, assert_holds, numbers_in

pytestmark = pytest.mark.slow
SECRET = "a-secret-that-must-not-be-told"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URI of an empty bucket; how to reach it stands in the environment alone."""
    pytest.importorskip("moto.server", reason="needs moto's server")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="galleries")
        yield "s3://galleries"
    server.stop()


def test_add_show_remove_check_prune(bucket: str) -> None:
    where = f"{bucket}/plain"
    with pytest.raises(MissingGalleryError):
        Gallery.open(where)
    gallery = Gallery.open_or_create(where)
    assert add(gallery, range(6)).added == 6
    assert add(gallery, range(4, 8)).added == 2
    assert_holds(Gallery.open(where), range(8))
    assert gallery.remove(models=["model 0"]) == 3
    assert numbers_in(Gallery.open(where)) == [1, 2, 4, 5, 7]
    report = gallery.check()
    assert report.ok
    assert report.references == 5
    assert gallery.prune() > 0
    assert numbers_in(Gallery.open(where)) == [1, 2, 4, 5, 7]
    with pytest.raises(GalleryError, match="already"):
        Gallery.create(where)


def test_pictures_are_enrolled_and_identified(bucket: str, tmp_path: Path) -> None:
    where = f"{bucket}/pictures/"
    dataset = read_dataset(write_dataset(tmp_path / "d", models=2, prompts=3, seeds=2, size=40))
    assert enrol(Gallery.open_or_create(where), dataset, ToyEncoder(), copies=0).added == 12
    local = Gallery.create(tmp_path / "g")
    enrol(local, dataset, ToyEncoder(), copies=0)
    answers = []
    for gallery in (where, str(tmp_path / "g")):
        asked = Identifier(gallery, method="euclid", encoder=ToyEncoder(), stability=False, cache=tmp_path / "c")
        (verdict,) = asked.identify([dataset.items[0].path])
        assert isinstance(verdict, Verdict)
        answers.append((verdict.ranking, verdict.evidence, verdict.decision))
    assert answers[0] == answers[1]
    assert EmbeddingCache(tmp_path / "c").contents(ToyEncoder().stamp)


def test_two_processes_add_at_the_same_time_and_nothing_is_lost_or_doubled(bucket: str) -> None:
    where = f"{bucket}/shared"
    Gallery.create(where)
    pipe = subprocess.PIPE
    ranges = ((0, 24), (12, 36))  # half of each is also the other's
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.gallery.worker", "share", where, str(first), str(last), "6"],
            cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
        )
        for first, last in ranges
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.communicate()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert sum(int(out.split()[0]) for out, _ in outputs) == 36
    gallery = Gallery.open(where)
    assert_holds(gallery, range(36))
    assert gallery.check().ok


def test_the_command_line_takes_a_uri(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(Gallery.create(f"{bucket}/cli"), range(5))
    assert main(["gallery", "check", f"{bucket}/cli"]) == 0
    assert main(["gallery", "remove", f"{bucket}/cli", "--model", "model 1"]) == 0
    assert numbers_in(Gallery.open(f"{bucket}/cli")) == [0, 2, 3]
    assert main(["gallery", "list", f"{bucket}/none"]) == 1
    assert "is no gallery" in capsys.readouterr().err
    assert not (Path.cwd() / "s3:").exists()


def test_a_bucket_that_is_not_there_and_a_store_that_is_gone_are_told_without_the_secret(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError) as absent:
        Gallery.open_or_create("s3://nobody-has-this-bucket/g")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OBJECT_STORE_CLIENT_MAX_RETRIES", "1")
    monkeypatch.setenv("OBJECT_STORE_CLIENT_RETRY_TIMEOUT", "2")
    with pytest.raises(StorageError) as gone:
        Gallery.open("s3://galleries/elsewhere")
    for found in (absent, gone):
        assert found.value.fix is not None
        assert "AWS_" in found.value.fix
        assert SECRET not in str(found.value)
        assert len(str(found.value)) < 800


def test_nothing_of_the_secret_is_stored(bucket: str) -> None:
    import boto3

    add(Gallery.open_or_create(f"{bucket}/told"), range(3))
    client = boto3.client("s3")
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="galleries")["Contents"]]
    assert len(keys) >= 5  # data, a transaction, versions
    for key in keys:
        assert SECRET.encode() not in client.get_object(Bucket="galleries", Key=key)["Body"].read()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
