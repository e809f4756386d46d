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
        return self.owner if is_loopback(self.address) else network(self.address)


def network(address: str) -> str:
    """Return what counts as one address: an IPv6 customer has 2**64 of them."""
    if not isinstance(parse_address(address), ipaddress.IPv6Address):
        return address
    return str(ipaddress.ip_network(f"{address.split('%')[0]}/64", strict=False))


def is_loopback(name: str) -> bool:
    address = parse_address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return None for what is not an address in digits."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
