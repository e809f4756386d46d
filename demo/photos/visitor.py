"""Who asks: to whom photos belong, and on whose account they take up space."""

import dataclasses
import ipaddress

EVERYBODY = "everybody"
"""Owns the sample photos; nobody's cookie has this value."""


@dataclasses.dataclass(frozen=True)
class Visitor:
    """One browser or program."""

    owner: str
    """A random word from the visitor's cookie; a program without cookies goes by its address."""
    address: str
    """IP address that the request came from, or that a proxy on this computer vouches for."""

    @property
    def account(self) -> str:
        """On what its share is counted: the address, because whoever drops a cookie gets another.

        On this computer itself all share an address, so there it is the cookie.
        """
        try:
            return self.owner if ipaddress.ip_address(self.address).is_loopback else self.address
        except ValueError:
            return self.owner
