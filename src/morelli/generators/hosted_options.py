"""Options that every hosted generator has, and what they must be."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from morelli.errors import InputError
from morelli.generators.options import check_range


@dataclass(frozen=True)
class HostedOptions:
    """Options of every hosted generator.

    Attributes
    ----------
    model, family : str, optional
        What datasets call it; by default the model's id.
    base : str, optional
        The model that it was derived from, as datasets call it.
    price : float, optional
        Of one image, in your currency.
    cap : float, optional
        The most that this generator may spend; needs ``price``.
    rate : float, optional
        The most requests a minute.
    timeout : float
        For one answer, seconds.
    retries : int
        How often a request that failed in passing is repeated.
    width, height : int, optional
        Pixels; both or none.
    base_url : str, optional
        Another address than the usual one.
    allow_http : bool
        Permit plain http to another machine than this one: prompts and keys then travel unencrypted.
    """

    model: str | None = None
    family: str | None = None
    base: str | None = None
    price: float | None = None
    cap: float | None = None
    rate: float | None = None
    timeout: float = 180.0
    retries: int = 5
    width: int | None = None
    height: int | None = None
    base_url: str | None = None
    allow_http: bool = False

    def check(self, where: str) -> None:
        """Refuse values that cannot be meant.

        Parameters
        ----------
        where : str
            Names the generator in messages.

        Raises
        ------
        InputError
        """
        check_range(where, "rate", self.rate, 0.001)
        check_range(where, "timeout", self.timeout, 0.001)
        check_range(where, "retries", self.retries, 0, 100)
        for name in ("width", "height"):
            check_range(where, name, getattr(self, name), 16, 16384)
        if (self.width is None) != (self.height is None):
            raise InputError("needs both width and height, or none.", argument=where)
        if self.cap is not None and self.price is None:
            raise InputError("has a cap but no price.", argument=where, fix="Give the price of one image too.")
        if self.base_url is not None:
            check_url(self.base_url, where, self.allow_http)


def check_url(url: str, argument: str, allow_http: bool = False) -> None:
    """Refuse an address that would leak: no https, or a name and password, or a query in it.

    Raises
    ------
    InputError
    """
    try:
        parts = urlsplit(url)
        name = parts.hostname
    except ValueError:
        parts, name = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not name:
        raise InputError(f"base_url must begin with https://, and is {url!r}.", argument=argument)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "base_url must hold no name, password or query: it is written down with the images.",
            argument=argument,
            fix="Keys are read from the environment only.",
        )
    if parts.scheme == "http" and not allow_http and not _is_loopback(name):
        raise InputError(
            f"base_url would send prompts and the key to {name} unencrypted.",
            argument=argument,
            fix="Use https, or set allow_http = true where the network is your own.",
        )


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
