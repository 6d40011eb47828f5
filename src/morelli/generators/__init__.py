"""A prompt becomes images: generators."""
