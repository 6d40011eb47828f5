"""What the HTTP libraries below the clients raise, told apart by the names of their classes.

The clients have changed their library before (requests, httpx, httpx2), and the names of the errors stayed.
"""

from __future__ import annotations

from collections.abc import Iterator

from morelli.generators.trouble import Trouble

_UNREACHABLE = frozenset({"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "gaierror", "ProxyError"})
_TIMEOUT = frozenset({"TimeoutException", "TimeoutError", "Timeout"})
_CUT = frozenset({"TransportError", "RequestError", "ConnectionError", "HTTPError", "StreamError", "HTTPException"})


def transport_trouble(error: BaseException) -> Trouble:
    """The trouble behind an error of the network.

    Raises
    ------
    BaseException
        The error itself, where it is none of the network.
    """
    text = str(error) or type(error).__name__
    names = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
    if names & _UNREACHABLE:
        return Trouble("unreachable", text)
    if names & _TIMEOUT:
        return Trouble("timeout", text)
    if names & _CUT:
        return Trouble("cut", text)
    raise error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
