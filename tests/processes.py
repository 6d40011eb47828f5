"""What tests that start processes share."""

import signal


def heed_interrupts() -> None:
    """For ``preexec_fn``: a suite that runs in the background of a shell ignores SIGINT, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
