"""Drift between what runs own and what the broker nets: who is charged for what was closed outside (RULES 6).

A charge goes at the price of the outside trades that explain it, each of which explains only once: what an account's
books show in balance is spent. A quantity that turned up under another product without a trade was converted, and the
run's moves along. What nothing explains is charged after two valid reads 5 s apart in session, at the LTP, estimated.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from engine.domain.conversions import converted_to, moved_value
from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Action, Product
from engine.domain.money import value_paise
from engine.domain.netting import PricedCharge, charges_at_trades
from engine.domain.runs import Charge
from engine.services.exit_scopes import plan_over
from engine.services.ledger import Pass
from engine.services.outside_read import OutsideRead, outside_read, remember, tell
from engine.services.settling import correct_settlements
from engine.services.world import Account, World

DRIFT_READS_APART = timedelta(seconds=5)


def book_charges(changes: Pass, world: World, account: Account, books: AccountBooks) -> None:
    """Book what was closed of our runs without an order of ours, as valid books show it (RULES 6)."""
    read = outside_read(changes, world, account, books)
    correct_settlements(read)
    pending: dict[Instrument, tuple[int, datetime]] = {}
    for instrument in sorted(read.unlike):
        if not changes.owners(read.key(instrument)) or not read.telling(instrument):
            continue
        if (since := _judge(read, instrument)) is not None:
            pending[instrument] = since
        else:
            _tell_more_outside(read, instrument)
    changes.after_commit.append(remember(read, pending))


def _judge(read: OutsideRead, instrument: Instrument) -> tuple[int, datetime] | None:
    """Book what can be booked under one instrument; return the drift that waits for a later read, None if none does."""
    charges = read.drift(instrument)
    if not charges.by_run:
        return None
    closing = Action.SELL if sum(charges.by_run.values()) > 0 else Action.BUY
    source = "settlement" if read.settlement_day(instrument) else "charge"
    for charge in charges_at_trades(charges.by_run, read.explained(instrument, closing)):
        _charge(read, instrument, closing, charge, source=source)
    rest = read.drift(instrument).by_run
    total = sum(rest.values())
    account, books, world = read.account, read.books, read.world
    # an expired contract leaves the books by settlement, it was not closed by hand; and outside the session no book is
    # evidence of less
    if not total or read.over(instrument):
        return None
    if not world.in_session(account.facts.venue, instrument.exchange, books.begun_at):
        return None
    if (product := _converted(read, instrument, total)) is not None:
        for run_id, quantity in rest.items():
            _move(read, run_id, instrument, product, quantity)
        return None
    since = account.drift_since.get(instrument)
    if since is None or since[0] != total:
        return total, books.begun_at
    if books.begun_at - since[1] < DRIFT_READS_APART:
        return since
    view = world.prices.view(account.facts.market, (instrument.symbol, instrument.exchange))
    if view is None or view.ltp is None:
        return since  # it waits for a price
    for run_id, quantity in rest.items():
        charge = PricedCharge(run_id, quantity, value_paise(view.ltp, abs(quantity)))
        _charge(read, instrument, closing, charge, source="charge", estimated=True)
    return None


def _tell_more_outside(read: OutsideRead, instrument: Instrument) -> None:
    """Warn when more stands outside under a contract of ours than before: a server may have sent an order twice."""
    outside, before = read.drift(instrument).outside, read.before.get(instrument, 0)
    if abs(outside) <= abs(before) and outside * before >= 0:
        return
    owner = max(read.changes.owners(read.key(instrument)), default=None, key=lambda one: one.run_id)
    if owner is None or read.over(instrument):
        return
    tell(
        read,
        owner.run_id,
        f"{read.account.facts.name} holds {outside:+} {instrument.symbol} that no run owns ({before:+} before): traded "
        "by hand, or an order that its server sent twice; no exit takes it off",
        {"outside": outside, "before": before, "product": str(instrument.product)},
    )


def _charge(
    read: OutsideRead,
    instrument: Instrument,
    action: Action,
    charge: PricedCharge,
    *,
    source: str,
    estimated: bool = False,
) -> None:
    changes, quantity = read.changes, abs(charge.quantity)
    changes.put_charge(
        Charge(
            id=next(changes.ledger.counters.fill),
            execution_id=charge.run_id,
            key=read.key(instrument),
            action=action,
            quantity=quantity,
            value_paise=charge.value_paise,
            estimated=estimated,
            at=changes.now,
            source=source,
        )
    )
    price = charge.value_paise / quantity / 100
    how = "were settled by the exchange" if source == "settlement" else "were closed outside this desk"
    tell(
        read,
        charge.run_id,
        f"{quantity} {instrument.symbol} of run {charge.run_id} {how}",
        {"quantity": charge.quantity, "price": price, "estimated": estimated},
        kind="settlement" if source == "settlement" else "drift",
    )


def _converted(read: OutsideRead, instrument: Instrument, total: int) -> Product | None:
    """Return the product that a quantity without trades turned up under since it was last in balance, if any."""
    gained = {}
    for product in Product:
        other = instrument._replace(product=product)
        if product is instrument.product or read.fresh_trades(other) or not read.telling(other):
            continue
        charges = read.drift(other)
        if not charges.by_run:
            gained[product] = charges.outside - read.before.get(other, 0)
    return converted_to(total, gained)


def _move(read: OutsideRead, run_id: int, instrument: Instrument, product: Product, quantity: int) -> None:
    """Let what a run owns go along with a conversion, at the run's own average: its P stays what it is.

    What an exit under way keeps of it goes along too.
    """
    changes = read.changes
    old, new = read.key(instrument), read.key(instrument._replace(product=product))
    value = moved_value(changes.holdings(run_id)[old], abs(quantity))
    closing = Action.SELL if quantity > 0 else Action.BUY
    for key, action in ((old, closing), (new, closing.opposite)):
        changes.put_charge(
            Charge(
                id=next(changes.ledger.counters.fill),
                execution_id=run_id,
                key=key,
                action=action,
                quantity=abs(quantity),
                value_paise=value,
                estimated=False,
                at=changes.now,
                source="conversion",
            )
        )
        changes.after_commit.append(partial(read.account.last_change.__setitem__, key, changes.now))
    if (plan := plan_over(changes, changes.run(run_id), old)) is not None and plan.kept(old):
        changes.put_plan(plan.converted(old, new, quantity))
    tell(
        read,
        run_id,
        f"{abs(quantity)} {instrument.symbol} of run {run_id} were converted from {instrument.product} to {product}; "
        f"the exit goes with {product}",
        {"quantity": quantity, "from": str(instrument.product), "to": str(product)},
    )


def being_converted(account: Account, instrument: Instrument) -> bool:
    """Whether books that are not taken yet show an instrument's quantity under another product, without a trade.

    An exit sent under the old product would then close nothing and open a position on the other side.
    """
    if account.disagreement is None or account.opening is None:
        return False
    found, known = account.disagreement[0], account.opening

    def gained(product: Product) -> int:
        one = instrument._replace(product=product)
        return found.get(one, 0) - known.get(one, 0)

    others = {product: gained(product) for product in Product if product is not instrument.product}
    return converted_to(-gained(instrument.product), others) is not None
