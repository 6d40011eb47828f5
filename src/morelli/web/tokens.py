"""Who may ask what: bearer tokens with a name and a role, from a file or the environment."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from morelli.errors import InputError

#: The environment variable that holds tokens: lines as in the file, or parted by semicolons.
VARIABLE = "MORELLI_TOKENS"
#: Each role may do what those before it may.
ROLES = ("read", "write")
#: Characters of the shortest token: 16 random bytes in hexadecimal, or 24 in base64, are more.
SHORTEST = 24

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECRET = re.compile(r"[A-Za-z0-9._~+/=-]+")
_FORM = "must be lines of NAME ROLE TOKEN, such as: alice read 3f9c…"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a token's name, or "" where the server has no tokens."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether this caller may do what that role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Tokens:
    """The tokens of a server. Only their SHA-256 is kept, so that no message or log can show one.

    Attributes
    ----------
    known : mapping of bytes to Caller
        By the digest of the token.
    """

    known: Mapping[bytes, Caller] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.known)

    def find(self, secret: str) -> Caller | None:
        """Whose token it is. Every token is compared, each in constant time, whichever fits."""
        asked = _digest(secret)
        found = None
        for digest, caller in self.known.items():
            if hmac.compare_digest(digest, asked):
                found = caller
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def read_tokens(file: Path | None, environment: Mapping[str, str] = os.environ) -> Tokens:
    """The tokens of a file and of the environment together; none where neither is there.

    Parameters
    ----------
    file : Path or None
        Lines of ``NAME ROLE TOKEN``; empty ones and those that begin with ``#`` do not count.
    environment : mapping
        Asked for `VARIABLE`.

    Raises
    ------
    InputError
        The file cannot be read or others may read it; a line is no token; a name or a token comes twice. The message
        names the line's number and never its text.
    """
    known: dict[bytes, Caller] = {}
    if file is not None:
        _add(known, _private_text(file).splitlines(), str(file))
    if environment.get(VARIABLE):
        _add(known, environment[VARIABLE].replace(";", "\n").splitlines(), VARIABLE)
    return Tokens(known)


def _private_text(file: Path) -> str:
    try:
        # The opened file is asked and not its name, which could be given to another file in between.
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(2**20 + 1)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}).", argument="--tokens") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        fix = f"Make it private: chmod 600 {file}"
        raise InputError(f"{file} may be read by others (mode {stat.S_IMODE(mode):o}).", argument="--tokens", fix=fix)
    if len(text) > 2**20:
        raise InputError(f"{file} is larger than a megabyte.", argument="--tokens")
    return text.decode("utf-8", "replace")


def _add(known: dict[bytes, Caller], lines: Iterable[str], where: str) -> None:
    before = len(known)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split()
        place = f"{where}, line {number}"
        if len(words) != 3 or not _NAME.fullmatch(words[0]) or not _SECRET.fullmatch(words[2]):
            raise InputError(f"{_FORM}.", argument=place)
        name, role, secret = words
        if role not in ROLES:
            raise InputError(f"the role must be {' or '.join(ROLES)}.", argument=place)
        if len(secret) < SHORTEST:
            fix = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            raise InputError(f"the token is shorter than {SHORTEST} characters.", argument=place, fix=fix)
        if name in {caller.name for caller in known.values()} or _digest(secret) in known:
            raise InputError("the name, or the token, was given before.", argument=place)
        known[_digest(secret)] = Caller(name, role)
    if len(known) == before:
        raise InputError(f"holds no token; it {_FORM}.", argument=where)
