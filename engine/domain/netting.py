"""What runs own beside what the broker nets: drift, charges, exits and crossings under one key (RULES 6).

Quantities are signed units: above 0 long, below 0 short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.domain.errors import DomainError


@dataclass(frozen=True, slots=True)
class Owner:
    """A run and what it owns under a key from its own fills.

    ``begun_order`` sorts runs by their beginning; where it is equal, the run named later is the newer one.
    """

    run_id: int
    quantity: int
    begun_order: int = 0


@dataclass(frozen=True, slots=True)
class Charges:
    """What outside trades closed of each run (signed like the run's quantity), and what nobody here owns."""

    by_run: dict[int, int]
    outside: int

    def of_run(self, run_id: int) -> int:
        """Return the charge of a run: E = quantity − charge."""
        return self.by_run.get(run_id, 0)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Runs leaving together: what each loses against the others, what is left for the market, and the one order.

    ``crossed`` and ``remaining`` are signed like E and add up to it per run; ``order_quantity`` is −ΣE, above 0 to buy.
    """

    crossed: dict[int, int]
    remaining: dict[int, int]
    order_quantity: int


@dataclass(frozen=True, slots=True)
class FlatView:
    """One key of a run: its E, the broker's net (None: no valid book), the others' ΣE, and the outside quantity."""

    entitled: int
    net: int | None
    others: int
    outside: int


def charge_drift(owners: Sequence[Owner], broker_net: int) -> Charges:
    """Return who bears the difference between the broker's net and what the runs own (RULES 6).

    Only for a moment at which no order of ours in the key is sending or unknown, and ``broker_net`` from a valid book.
    Drift M = net − Σ owned that is opposite to a run's quantity has closed it: it is charged to the runs of that sign,
    newest first, each up to what it owns. The rest is outside. Always: net = Σ(quantity − charge) + outside.

    >>> charge_drift([Owner(1, 65), Owner(3, 65)], broker_net=65)
    Charges(by_run={3: 65}, outside=0)
    >>> charge_drift([Owner(1, 65)], broker_net=-65)
    Charges(by_run={1: 65}, outside=-65)
    """
    drift = broker_net - sum(owner.quantity for owner in owners)
    newest_first = sorted(enumerate(owners), key=lambda entry: (entry[1].begun_order, entry[0]), reverse=True)
    by_run: dict[int, int] = {}
    rest = drift
    for _, owner in newest_first:
        if owner.quantity * rest < 0:
            size = min(abs(owner.quantity), abs(rest))
            charge = size if owner.quantity > 0 else -size
            by_run[owner.run_id] = by_run.get(owner.run_id, 0) + charge
            rest += charge
    return Charges(by_run, rest)


@dataclass(frozen=True, slots=True)
class Traded:
    """Units that trades moved one way, and their value in paise."""

    units: int = 0
    value_paise: int = 0


@dataclass(frozen=True, slots=True)
class PricedCharge:
    """What one run is charged (signed like its quantity) for trades worth ``value_paise``."""

    run_id: int
    quantity: int
    value_paise: int


def unspent(seen: Traded, spent: Traded) -> Traded:
    """Return the trades among ``seen`` that have explained nothing yet; each explains only once (RULES 6).

    A book that shows less than was spent (a day counted anew, a trade that turned out to be ours) leaves nothing.

    >>> unspent(Traded(130, 1_400_000), Traded(65, 650_000))
    Traded(units=65, value_paise=750000)
    """
    if seen.units <= spent.units or seen.value_paise < spent.value_paise:
        return Traded()
    return Traded(seen.units - spent.units, seen.value_paise - spent.value_paise)


def charges_at_trades(by_run: Mapping[int, int], traded: Traded) -> list[PricedCharge]:
    """Return which charges trades explain, and at what value: in the order given, no more units than were traded.

    Trades that explain exactly the charges are shared out to the paisa; of larger ones the charges take their share.

    >>> charges_at_trades({3: 65, 1: 65}, Traded(65, 650_000))
    [PricedCharge(run_id=3, quantity=65, value_paise=650000)]
    """
    left, value = traded.units, traded.value_paise
    found: list[PricedCharge] = []
    for run_id, quantity in by_run.items():
        size = min(abs(quantity), left)
        if size:
            share = value * size // left
            found.append(PricedCharge(run_id, size if quantity > 0 else -size, share))
            left, value = left - size, value - share
    return found


def exit_quantity(entitled: int, pending_exit_quantity: int, *, wanted: int | None = None) -> int:
    """Return the signed quantity an exit order may have now: above 0 to buy, below 0 to sell, 0 for none (RULES 6).

    Opposite to E and never more than |E| less what the run's own exit orders may still fill; the broker's net is no
    cap. ``wanted`` units leave in a partial exit. Raises DomainError for a negative pending or wanted quantity.

    >>> exit_quantity(65, 0), exit_quantity(-130, 65), exit_quantity(65, 65), exit_quantity(-130, 0, wanted=65)
    (-65, 65, 0, 65)
    """
    if pending_exit_quantity < 0:
        raise DomainError("pending_exit_quantity", f"{pending_exit_quantity} is negative")
    if wanted is not None and wanted < 0:
        raise DomainError("wanted", f"{wanted} is negative")
    size = max(0, abs(entitled) - pending_exit_quantity)
    if wanted is not None:
        size = min(size, wanted)
    return -size if entitled > 0 else size


def is_flat(
    keys: Iterable[FlatView], *, orders_terminal: bool, book_begun_at: datetime | None, last_fill_at: datetime | None
) -> bool:
    """Tell whether a run is flat (RULES 6).

    E is 0 in all its keys, its orders are terminal, and a valid position book begun after its last fill shows in each
    key what the others own plus what is outside. ``book_begun_at`` None: there is no valid book, so nothing is known.
    """
    if not orders_terminal or book_begun_at is None:
        return False
    if last_fill_at is not None and book_begun_at <= last_fill_at:
        return False
    return all(key.entitled == 0 and key.net == key.others + key.outside for key in keys)


def cross_opposites(leaving: Sequence[Owner]) -> Crossing:
    """Return how runs that leave together take each other out under one key, and the order for the rest (RULES 6).

    ``quantity`` of each is its E. The smaller side is crossed completely; the larger one in the order given.

    >>> cross_opposites([Owner(1, 65), Owner(2, -130)])
    Crossing(crossed={1: 65, 2: -65}, remaining={1: 0, 2: -65}, order_quantity=65)
    """
    long = sum(owner.quantity for owner in leaving if owner.quantity > 0)
    short = -sum(owner.quantity for owner in leaving if owner.quantity < 0)
    left = dict.fromkeys((1, -1), min(long, short))
    crossed: dict[int, int] = {}
    remaining: dict[int, int] = {}
    for owner in leaving:
        sign = 1 if owner.quantity > 0 else -1
        size = min(abs(owner.quantity), left[sign])
        left[sign] -= size
        crossed[owner.run_id] = crossed.get(owner.run_id, 0) + sign * size
        remaining[owner.run_id] = remaining.get(owner.run_id, 0) + owner.quantity - sign * size
    return Crossing(crossed, remaining, short - long)
