"""Which addresses a webhook may go to: public ones only, so that nobody reaches the inside of this network by one.

Checked when an endpoint is saved, and again for every try against the addresses that are then connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from billing.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by number, and yet inside: clouds' own services, and IPv6 ranges that carry an IPv4 address.
INSIDE = [
    ipaddress.ip_network(each) for each in ("168.63.129.16/32", "192.0.0.0/24", "2001::/23", "2002::/16")
]
# All of IPv6 that is given out for the public internet; what translates to IPv4 or is for a site lies elsewhere.
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
MAX_URL = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts. `path` holds the query; `port` is the one of the scheme where none is written."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"


def read_url(url: str) -> Target:
    """Read a URL. Raises AddressRefused for one that a webhook cannot go to, whatever its name stands for."""
    if len(url) > MAX_URL or not url.isascii() or any(letter <= " " or letter == "\x7f" for letter in url):
        raise AddressRefused(
            f"Write at most {MAX_URL} characters, without spaces; letters of other scripts encoded."
        )
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        raise AddressRefused("This is not a URL. Write it as https://hooks.example.com/billing.") from None
    schemes = ("https", "http") if settings.WEBHOOK_ALLOW_PRIVATE else ("https",)
    if parts.scheme not in schemes or not host:
        raise AddressRefused("Write the URL with https, as https://hooks.example.com/billing.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("Leave user and password out of the URL: bodies are signed instead.")
    if parts.fragment or "#" in url:
        raise AddressRefused("Leave out what follows the #: it is never sent.")
    if port == 0:
        raise AddressRefused("Port 0 does not exist.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def check_url(url: str) -> None:
    """Refuse a URL that stands for an address inside. A name that is not known yet is checked when it is sent to."""
    target = read_url(url)
    if settings.WEBHOOK_ALLOW_PRIVATE:
        return
    try:
        addresses_of(target)
    except OSError:
        return


def addresses_of(target: Target) -> list[str]:
    """Give the addresses a host stands for now. Raises AddressRefused when one of them is inside, OSError for none."""
    found = resolve(target.host, target.port)
    if not settings.WEBHOOK_ALLOW_PRIVATE:
        for address in found:
            if not is_public(address):
                raise AddressRefused(
                    f"{target.host} stands for {address}, which is inside a private network. Webhooks go to public "
                    "addresses only."
                )
    if not found:
        raise OSError(f"{target.host} stands for no address.")
    return list(dict.fromkeys(found))


def resolve(host: str, port: int) -> list[str]:
    """Ask the system what a name stands for; decimal and other odd writings of addresses come out as what they mean."""
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet, in no way that hides another."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and ("%" in text or address not in PUBLIC_IPV6):
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in INSIDE if network.version == address.version)
