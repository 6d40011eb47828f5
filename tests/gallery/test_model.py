"""Any sequence of adds and removals leaves what a plain dictionary would hold."""

from __future__ import annotations

import shutil
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from morelli.gallery.store import Gallery

from .samples import OTHER, STAMP, add, assert_holds, numbers_in, reference

NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=6)


class GalleryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.gallery = Gallery.create(self.folder)
        self.model: dict[int, set[str]] = {}

    @rule(numbers=NUMBERS, stamp=st.sampled_from([STAMP, OTHER]))
    def add(self, numbers, stamp):
        distinct = set(numbers)
        new = distinct - set(self.model)
        filled = {i for i in distinct - new if stamp.encoder not in self.model[i]}
        version = self.gallery.version
        report = add(self.gallery, numbers, stamp)
        assert (report.added, report.updated, report.duplicates) == (
            len(new),
            len(filled),
            len(numbers) - len(distinct),
        )
        assert report.unchanged == len(distinct - new - filled)
        assert self.gallery.version == version + bool(new or filled)
        for i in distinct:
            self.model.setdefault(i, set()).add(stamp.encoder)

    @rule(model=st.integers(0, 2))
    def remove(self, model):
        gone = {i for i in self.model if i % 3 == model}
        if gone:
            assert self.gallery.remove(models=[f"model {model}"]) == len(gone)
            self.model = {i: encoders for i, encoders in self.model.items() if i not in gone}

    @rule(number=st.integers(0, 9))
    def remove_one(self, number):
        if number in self.model:
            assert self.gallery.remove(contents=[reference(number).content]) == 1
            del self.model[number]

    @rule()
    def reopen(self):
        self.gallery = Gallery.open(self.folder)

    @invariant()
    def holds_the_same(self):
        assert numbers_in(self.gallery) == sorted(self.model)
        for stamp in (STAMP, OTHER):
            embedded = [i for i, encoders in self.model.items() if stamp.encoder in encoders]
            if embedded:
                assert_holds(self.gallery, embedded, stamp)

    def teardown(self):
        assert self.gallery.check().ok
        shutil.rmtree(self.folder)


TestGallery = GalleryMachine.TestCase
TestGallery.settings = settings(
    max_examples=12, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
