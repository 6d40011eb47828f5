"""Which addresses are this machine's own, and cannot be reached from another."""

from __future__ import annotations

import ipaddress
import socket

from morelli.errors import InputError
from morelli.web.tokens import VARIABLE


def is_loopback(host: str) -> bool:
    """Whether every address that a host name or address stands for is loopback; False where that is not known."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    if not host:  # servers take "" for every address there is
        return False
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in found)


def names_loopback(header: str) -> bool:
    """Whether a ``Host`` header names this machine: "localhost", or a loopback address, with a port or without."""
    host = header.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_door(host: str, has_tokens: bool) -> None:
    """Refuse to listen where others could ask, unless they need a token.

    Raises
    ------
    InputError
        No token, and the address is not loopback.
    """
    if not has_tokens and not is_loopback(host):
        raise InputError(
            f"{host or 'every address'} can be reached from other machines, and anyone could ask: there is no token.",
            argument="--host",
            fix=f"Listen on 127.0.0.1, or give tokens: --tokens FILE, or {VARIABLE}.",
        )
