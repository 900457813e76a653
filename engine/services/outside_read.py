"""What a valid read shows beyond our own orders: outside trades, and the drift they may explain (RULES 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from engine.domain.evidence import AccountBooks, Instrument, SeenTrade
from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.money import value_paise
from engine.domain.netting import Charges, Traded, unspent
from engine.domain.settlement import contract_end
from engine.services.ledger import Pass
from engine.services.outcomes import unclaimed_trades
from engine.services.world import Account, World, trading_day

Trades = Mapping[tuple[Instrument, Action], Traded]

_BY_TRADES = frozenset({"charge", "settlement", "adopted"})
"""Sources of charges that outside trades stand behind; crossings and conversions have none."""


@dataclass(frozen=True, slots=True)
class OutsideRead:
    """One valid read of an account, what outside trades in it have not explained yet, and what stood outside before.

    ``seen``: units and value of outside trades; ``spent`` what they have explained; ``fresh`` the rest of them.
    ``unlike``: where the books held something else than the runs own, or did before; all else is in balance.
    """

    changes: Pass
    world: World
    account: Account
    books: AccountBooks
    seen: Trades
    spent: Trades
    fresh: Trades
    unpriced: frozenset[Instrument]
    before: Mapping[Instrument, int]
    unlike: frozenset[Instrument]

    def key(self, instrument: Instrument) -> Key:
        """Return an instrument's key on this account."""
        return Key(self.account.id, *instrument)

    def telling(self, instrument: Instrument) -> bool:
        """Whether this read may show drift in a key: it is newer than the last change, and shows every trade of ours.

        Nothing of ours may be in doubt there.
        """
        key = self.key(instrument)
        if key in self.account.standing.unexplained:
            return False
        changed = self.account.last_change.get(key)
        return not self.changes.in_doubt(key) and (changed is None or self.books.begun_at > changed)

    def drift(self, instrument: Instrument) -> Charges:
        """Return who bears the drift of this read under an instrument, after what this pass has booked already."""
        return self.changes.drift(self.key(instrument), self.books.owned(instrument))

    def explained(self, instrument: Instrument, action: Action) -> Traded:
        """Return the outside trades one way that have explained nothing yet; nothing where one of them has no price."""
        return Traded() if instrument in self.unpriced else self.fresh.get((instrument, action), Traded())

    def fresh_trades(self, instrument: Instrument) -> bool:
        """Whether there are outside trades, of either side, that have explained nothing yet."""
        return any(self.fresh.get((instrument, action), Traded()).units for action in Action)

    def over(self, instrument: Instrument) -> bool:
        """Whether the contract's last session had ended when the read began."""
        calendar = self.world.calendar(self.account.facts.venue)
        end = contract_end(instrument.symbol, instrument.exchange, calendar)
        return end is not None and end.over(self.books.begun_at)

    def settlement_day(self, instrument: Instrument) -> bool:
        """Whether trades of this day in the contract can only be the exchange's settlement of it."""
        calendar = self.world.calendar(self.account.facts.venue)
        end = contract_end(instrument.symbol, instrument.exchange, calendar)
        if end is None or not end.over(self.books.begun_at):
            return False
        last_moment = end.closes_at - timedelta(microseconds=1)
        return trading_day(self.books.begun_at) > trading_day(last_moment)


def outside_read(changes: Pass, world: World, account: Account, books: AccountBooks) -> OutsideRead:
    """Return what valid books show beyond our own orders.

    Trades that were there when the account's books were last in balance are spent; after a restart, and on a new day,
    those are spent that charges of the day explain.
    """
    trades = unclaimed_trades(changes, account, books)
    seen = _summed(trades)
    day = trading_day(books.begun_at)
    spent = account.spent if account.outside_day == day else _charged_on(changes, account, day)
    fresh = {which: unspent(traded, spent.get(which, Traded())) for which, traded in seen.items()}
    unpriced = frozenset(trade.instrument for trade in trades if trade.price <= 0)
    before, owned = _before(changes, account), changes.owned_on(account.id)
    everything = {*owned, *books.net, *books.held, *before}
    unlike = frozenset(one for one in everything if before.get(one) or owned.get(one, 0) != books.owned(one))
    return OutsideRead(changes, world, account, books, seen, spent, fresh, unpriced, before, unlike)


def _before(changes: Pass, account: Account) -> Mapping[Instrument, int]:
    """Return what stood outside when the account's books were last in balance; after a restart from its memory."""
    memory = changes.ledger.memories.get(account.id)
    if account.outside_day is not None or memory is None:
        return account.outside
    carried = {Instrument(one[0], Exchange(one[1]), Product(one[2])): one[3] for one in memory.carried}
    return {one: changes.drift(Key(account.id, *one), net).outside for one, net in carried.items()}


def _summed(trades: Iterable[SeenTrade]) -> dict[tuple[Instrument, Action], Traded]:
    sums: dict[tuple[Instrument, Action], Traded] = {}
    for trade in trades:
        before = sums.get((trade.instrument, trade.action), Traded())
        value = before.value_paise + value_paise(max(trade.price, 0.0), trade.quantity)
        sums[trade.instrument, trade.action] = Traded(before.units + trade.quantity, value)
    return sums


def _charged_on(changes: Pass, account: Account, day: date) -> dict[tuple[Instrument, Action], Traded]:
    """Return what charges of a day have explained already: all that a restart leaves of this memory."""
    sums: dict[tuple[Instrument, Action], Traded] = {}
    for run_id in changes.ledger.charges:
        for charge in changes.charges_of(run_id):
            key = charge.key
            if key.account_id != account.id or charge.estimated or trading_day(charge.at) != day:
                continue
            if charge.source not in _BY_TRADES:
                continue
            which = (Instrument(key.symbol, key.exchange, key.product), charge.action)
            before = sums.get(which, Traded())
            sums[which] = Traded(before.units + charge.quantity, before.value_paise + charge.value_paise)
    return sums


def remember(read: OutsideRead, pending: Mapping[Instrument, tuple[int, datetime]]) -> Callable[[], None]:
    """Return what notes, once the pass is committed, which trades are spent, what stands outside, and what waits.

    Where drift waits, the other products of its symbol stay as they were: a conversion is told by what was there
    before it. Trades without a price are not spent as long as drift waits for one.
    """
    account, books = read.account, read.books
    waiting = {(one.symbol, one.exchange) for one in pending}

    def balanced(instrument: Instrument) -> bool:
        return (instrument.symbol, instrument.exchange) not in waiting and read.telling(instrument)

    spent = {**read.spent} | {
        which: traded
        for which, traded in read.seen.items()
        if balanced(which[0]) or (which[0] in pending and which[0] not in read.unpriced)
    }
    day = trading_day(books.begun_at)
    outside = {**read.before} | {one: read.drift(one).outside for one in read.unlike if balanced(one)}

    def note() -> None:
        account.spent, account.outside, account.outside_day = spent, outside, day
        account.drift_since = dict(pending)

    return note


def tell(read: OutsideRead, run_id: int, message: str, knew: dict[str, Any], *, kind: str = "drift") -> None:
    """Record what was found of a run."""
    read.changes.event(
        owner_id=read.changes.run(run_id).owner_id,
        kind=kind,
        action="alert_only",
        message=message,
        knew=knew,
        run_id=run_id,
        account_id=read.account.id,
    )
