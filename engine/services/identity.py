"""Who asks: every use case gets a Caller and checks it there, not in the page (DESIGN law 12)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.services.errors import ServiceError
from engine.store.tables import Role

_RANK = {Role.VIEWER: 0, Role.TRADER: 1, Role.ADMIN: 2}


class NotAllowed(ServiceError):  # noqa: N818 - named for what it says, like the other refusals
    """The caller's role does not permit this; the message names the role that does."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A person whose session was checked just now."""

    user_id: int
    username: str
    role: Role


def require(caller: Caller, role: Role) -> None:
    """Pass if the caller has at least the given role; raise NotAllowed otherwise.

    >>> require(Caller(user_id=1, username="asha", role=Role.ADMIN), Role.TRADER)
    """
    if _RANK[caller.role] < _RANK[role]:
        raise NotAllowed(f"This needs the role {role.value}; {caller.username} is {caller.role.value}.")
