"""The papers' experiments on the mini-zoo, as commands that write tables; see docs/experiments.md."""
