"""Fingerprints: what a model leaves in the noise of its images, as vectors that a gallery can hold."""
