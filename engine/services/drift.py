"""Drift between what runs own and what the broker nets: who is charged for what was closed outside (RULES 6)."""

from __future__ import annotations

from datetime import timedelta

from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Action, Key
from engine.domain.money import value_paise
from engine.domain.runs import Charge
from engine.services.ledger import Pass
from engine.services.outcomes import unclaimed_trades
from engine.services.world import Account, World

DRIFT_READS_APART = timedelta(seconds=5)


def book_charges(changes: Pass, world: World, account: Account, books: AccountBooks) -> None:
    """Book what outside trades closed of our runs (RULES 6): at their price, or after two reads at the LTP."""
    keys = {
        key
        for run in changes.open_runs()
        for key, held in changes.holdings(run.id).items()
        if key.account_id == account.id and held.quantity
    }
    seen: dict[Instrument, tuple[int, object]] = {}
    for key in keys:
        instrument = Instrument(key.symbol, key.exchange, key.product)
        changed = account.last_change.get(key)
        if changes.in_doubt(key) or (changed is not None and books.begun_at <= changed):
            continue
        net = books.owned(instrument)
        charges = changes.drift(key, net)
        total = sum(charges.by_run.values())
        if not total:
            continue
        action = Action.SELL if total > 0 else Action.BUY
        trades = [t for t in unclaimed_trades(changes, account, books, instrument) if t.action is action]
        priced = all(trade.price > 0 for trade in trades)
        explained = priced and sum(trade.quantity for trade in trades) >= abs(total)
        if explained:
            value = sum(value_paise(trade.price, trade.quantity) for trade in trades)
            price = value / sum(trade.quantity for trade in trades) / 100
            _charge(changes, key, charges.by_run, action, price, estimated=False)
            continue
        if not world.in_session(account.facts.venue, key.exchange, books.begun_at):
            continue  # outside the session no book is evidence of less
        before = account.drift_since.get(instrument)
        if before is None or before[0] != total:
            account.drift_since[instrument] = (total, books.begun_at)
        elif books.begun_at - before[1] >= DRIFT_READS_APART:
            view = world.prices.view(account.facts.venue, (key.symbol, key.exchange))
            if view is not None and view.ltp is not None:
                _charge(changes, key, charges.by_run, action, view.ltp, estimated=True)
                account.drift_since.pop(instrument, None)
            continue
        seen[instrument] = (total, books.begun_at)
    for instrument in [one for one in account.drift_since if one not in seen]:
        account.drift_since.pop(instrument)


def _charge(changes: Pass, key: Key, by_run: dict[int, int], action: Action, price: float, *, estimated: bool) -> None:
    for run_id, quantity in by_run.items():
        if not quantity:
            continue
        run = changes.run(run_id)
        charge = Charge(
            id=next(changes.ledger.counters.fill),
            execution_id=run_id,
            key=key,
            action=action,
            quantity=abs(quantity),
            value_paise=value_paise(price, abs(quantity)),
            estimated=estimated,
            at=changes.now,
        )
        changes.put_charge(charge)
        changes.event(
            owner_id=run.owner_id,
            kind="drift",
            action="alert_only",
            message=f"{abs(quantity)} {key.symbol} of run {run_id} were closed outside this desk",
            knew={"quantity": quantity, "price": price, "estimated": estimated},
            run_id=run_id,
            account_id=key.account_id,
        )
