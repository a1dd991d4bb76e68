"""The plugin: its settings, its hooks, and the address manager they give."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, Exhausted, Invalid
from netloom.plugins import (
    AddressRequest,
    Allocation,
    Context,
    Doc,
    Ipam,
    Length,
    PluginInfo,
    PoolStatus,
    Role,
    hookimpl,
)
from netloom_sticky import memory
from netloom_sticky.book import Book


@dataclass(frozen=True, slots=True, kw_only=True)
class StickySettings:
    """``plugins.sticky``."""

    pod_cidrs: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Length(1, 2),
        Doc("One prefix for each IP version; the first address is the gateway."),
    ]
    reserved: Annotated[tuple[IPv4Network | IPv6Network, ...], Doc("Addresses in them that are never given.")] = ()
    path: Annotated[Path, Doc("File that remembers the address of each pod.")] = Path("/var/lib/netloom/sticky.json")

    def __post_init__(self) -> None:
        if len({prefix.version for prefix in self.pod_cidrs}) < len(self.pod_cidrs):
            raise ValueError("pod_cidrs: two prefixes of one IP version, where one each is possible")
        for prefix in self.pod_cidrs:
            book = Book(prefix, self.reserved, {})
            if not book.capacity:
                raise ValueError(f"pod_cidrs: {prefix} has no address left beside the gateway and what is reserved")
            if any(book.gateway in other for other in self.reserved if other.version == prefix.version):
                raise ValueError(
                    f"reserved: {book.gateway} is the gateway of {prefix}, so it cannot be somebody else's"
                )


class StickyIpam:
    """Netloom's ``Ipam``. Everything runs in the plugin's own thread, so it may write its file in peace."""

    def __init__(self, settings: StickySettings) -> None:
        self._path = settings.path
        self._given: dict[str, tuple[Address, ...]] = {}
        written = memory.read(settings.path)
        self._books = tuple(
            Book(prefix, settings.reserved, {pod: a for pod, found in written.items() for a in found if a in prefix})
            for prefix in settings.pod_cidrs
        )

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """As configured."""
        return tuple(book.prefix for book in self._books)

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The first address of each prefix."""
        return tuple(book.gateway for book in self._books)

    async def allocate(self, request: AddressRequest) -> Allocation:
        """The addresses wanted; where none is, the pod's own if they are free."""
        self._refuse_second(request.owner)
        wanted = {self._wanted_place(address, request.owner): address for address in request.wanted}
        pod = f"{request.pod_namespace}/{request.pod_name}" if request.pod_name else ""
        chosen: list[Address] = []
        for book in self._books:
            address = wanted.get(book) or book.choose(pod)
            if address is None:
                raise Exhausted(f"every address of {book.prefix} is in use; remove pods, or widen pod_cidrs")
            chosen.append(address)
        for book, address in zip(self._books, chosen, strict=True):
            if pod:
                book.remember(pod, address)
            book.take(address, request.owner)
        self._given[request.owner] = tuple(chosen)
        self._save()
        return Allocation(owner=request.owner, addresses=tuple(chosen))

    async def restore(self, allocation: Allocation) -> None:
        """Addresses given before the agent restarted."""
        self._refuse_second(allocation.owner)
        places = [self._place(address, allocation.owner) for address in allocation.addresses]
        for book, address in zip(places, allocation.addresses, strict=True):
            book.take(address, allocation.owner)
        self._given[allocation.owner] = allocation.addresses

    async def release(self, owner: str) -> None:
        """The pod is gone; its addresses stay its own until somebody needs them."""
        for address in self._given.pop(owner, ()):
            for book in self._books:
                book.give_back(address)
        self._save()

    async def status(self) -> tuple[PoolStatus, ...]:
        """How full the prefixes are with pods that are here."""
        return tuple(PoolStatus(prefix=book.prefix, used=book.used, capacity=book.capacity) for book in self._books)

    def _refuse_second(self, owner: str) -> None:
        if owner in self._given:
            raise Conflict(f'"{owner}" has addresses already; release them first')

    def _place(self, address: Address, owner: str) -> Book:
        book = next((book for book in self._books if book.fits(address)), None)
        if book is None:
            raise Conflict(f'{address} of "{owner}" is not among the addresses that pods may have')
        self._refuse_held(book, address, owner)
        return book

    def _wanted_place(self, address: Address, owner: str) -> Book:
        book = next((book for book in self._books if book.fits(address)), None)
        if book is None:
            prefixes = ", ".join(map(str, self.prefixes))
            raise Invalid(
                f'{address} cannot be given to "{owner}": it is outside {prefixes}, reserved, or the gateway; '
                "ask for another"
            )
        self._refuse_held(book, address, owner)
        return book

    def _refuse_held(self, book: Book, address: Address, owner: str) -> None:
        if holder := book.holder(address):
            raise Conflict(f'{address} cannot be given to "{owner}": "{holder}" has it')

    def _save(self) -> None:
        pods = dict.fromkeys(pod for book in self._books for pod in book.remembered)
        remembered = [book.remembered for book in self._books]
        memory.write(self._path, {pod: tuple(found[pod] for found in remembered if pod in found) for pod in pods})


class Sticky:
    """What the entry point names."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="sticky", role=Role.IPAM, summary="Gives a pod the address it had before.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return StickySettings

    @hookimpl
    def netloom_ipam(self, context: Context) -> Ipam:
        """The address manager."""
        return StickyIpam(context.config)
