"""Which reads are due: fast while something is in flight, slower when all is quiet (DESIGN 2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import partial

from engine.domain.calendar import ist_day
from engine.domain.instruments import Exchange, Product
from engine.domain.prices import OWN_TICK_AGE
from engine.domain.runs import AccountState, Run
from engine.services import doubts
from engine.services.ledger import Pass
from engine.services.messages import Symbol
from engine.services.price_board import market_of
from engine.services.repricing import resting_symbols
from engine.services.settling import indices_wanted
from engine.services.world import Account, Gathering, World

FLIGHT = timedelta(seconds=0.5)
OPEN = timedelta(seconds=2)
QUIET = timedelta(seconds=5)
FUNDS = timedelta(seconds=30)
FUNDS_AFTER_FILL = timedelta(seconds=2)
QUOTES = timedelta(seconds=2)
UNCHANGED = timedelta(seconds=5)
ASKED_AT_ONCE = 3
"""Servers asked together for quotes when two polls brought none."""
CONNECT_AGAIN = timedelta(seconds=3)
READ_LOST = timedelta(seconds=20)
WANTED_APART = timedelta(seconds=0.05)
GATHERED_AGAIN = timedelta(seconds=0.5)
"""How often the symbols of many runs are gathered."""
GATHER_BOX_SECONDS = 0.0005
"""How long a pass gathers symbols of many runs before prices are looked at again."""
INDICES_SECONDS = 10
"""How often it is asked whether a run's contracts are so near their end that their index is needed."""


def poll(changes: Pass, world: World) -> None:
    """Ask for every read that is due; the hands do them one after the other per account."""
    now, few, routine = changes.now, changes.ledger.index.few, False
    sizing = {
        row.account_id: run.created_at
        for run in changes.busy_runs()
        for row in changes.accounts_of(run.id)
        if row.state is AccountState.SIZING
    }
    for account in world.accounts.values():
        if not account.connected:
            _connect(changes, account)
            continue
        lost = account.reading_books_since is not None and now - account.reading_books_since > READ_LOST
        if (account.reading_books_since is None or lost) and now >= account.books_due:
            wanted = account.books_wanted or _period_over(changes, account)
            if wanted and not few and _can_wait(changes, account):
                wanted, routine = not routine, True  # one in a pass: many readers at once keep the core waiting
            if wanted:
                shares = _holds_shares(changes, account)
                changes.after_commit.append(partial(_read_books, account, now, holdings=shares))
        fresh_for = sizing.get(account.id)
        needed = fresh_for is not None and (account.funds_begun is None or account.funds_begun <= fresh_for)
        needed = needed or _funds_moved(account, now)
        lost = account.reading_funds_since is not None and now - account.reading_funds_since > READ_LOST
        if (account.reading_funds_since is None or lost) and (needed or now >= account.funds_due):
            changes.after_commit.append(partial(_read_funds, account, now))


def _funds_moved(account: Account, now: datetime) -> bool:
    """Tell whether fills changed the funds since they were read: the figures on the pages follow within seconds."""
    read = account.funds_begun
    return read is not None and now - read >= FUNDS_AFTER_FILL and any(at > read for at in account.last_change.values())


# What was asked is noted only when it is: a pass that cannot be committed asks nothing, and notes nothing.


def _holds_shares(changes: Pass, account: Account) -> bool:
    """Whether shares of earlier days count: a run owns under CNC there, or the books show such a row (RULES 6, N)."""
    if account.books is not None and any(one.product is Product.CNC for one in account.books.net):
        return True
    return any(one.product is Product.CNC and held for one, held in changes.owned_on(account.id).items())


def _read_books(account: Account, now: datetime, *, holdings: bool) -> None:
    account.books_wanted = False
    account.reading_books_since = now
    account.books_due = now + WANTED_APART
    account.hands.read_books(holdings=holdings)


def _read_funds(account: Account, now: datetime) -> None:
    account.reading_funds_since = now
    account.funds_due = now + FUNDS
    account.hands.read_funds()


def _watch(world: World, account: Account, symbols: frozenset[Symbol]) -> None:
    world.watched[account.id] = symbols
    world.data.asked_at[account.facts.market] = world.clock.now()
    account.hands.watch(symbols)


def _read_quotes(world: World, accounts: Collection[Account], symbols: Collection[Symbol], now: datetime) -> None:
    for account in accounts:
        world.data.polled(account.facts.market, now)
        world.quotes_due[account.facts.market] = now + QUOTES
        account.hands.read_quotes(account.facts.market, symbols)


def _connect_now(account: Account, now: datetime) -> None:
    account.connecting_since = now
    account.hands.connect()


def watch(changes: Pass, world: World) -> None:
    """Have each venue's data account push the symbols of open runs, and poll those that are silent (RULES 6)."""
    resting = {
        (market_of(run.owner_id, run.venue), symbol)
        for run in changes.busy_runs()
        for symbol in resting_symbols(changes, run)
    }
    gather(changes, world)
    for (owner_id, venue), symbols in world.gathered.items():
        _poll_quotes(changes, world, owner_id, venue, symbols, resting=resting)


def gather(changes: Pass, world: World) -> None:
    """Bring up to now what symbols the open runs need, by owner and venue; those of many runs in passes that follow.

    The first time all at once: before anything is subscribed no price comes that could wait.
    """
    few, clock, work = changes.ledger.index.few, world.clock.boot, world.gathering
    at_once = few or world.gathered_at is None
    if work is None or few:
        if not at_once and world.gathered_at is not None and abs(changes.now - world.gathered_at) < GATHERED_AGAIN:
            return
        world.gathered_at = changes.now
        work = world.gathering = Gathering([run.id for run in changes.open_runs()], {})
    until = 0.0 if at_once else clock() + GATHER_BOX_SECONDS
    while work.left and (at_once or clock() < until):
        run = changes.open_run(work.left.pop())
        if run is not None:
            group = work.found.setdefault((run.owner_id, run.venue), set())
            group |= _symbols_wanted(changes, world, run)
            group |= world.candles.followed(run.id)
    if not work.left:
        world.gathered, world.gathering = work.found, None
        _subscribe(changes, world, work.found)


def _subscribe(changes: Pass, world: World, wanted: dict[tuple[int, str], set[Symbol]]) -> None:
    for account in world.accounts.values():
        place = (account.facts.owner_id, account.facts.venue)
        leader = next(iter(world.of_venue(*place)), None)
        mine = frozenset(wanted.get(place, set())) if leader is account else frozenset()
        if world.watched.get(account.id) != mine:
            changes.after_commit.append(partial(_watch, world, account, mine))


def _symbols_wanted(changes: Pass, world: World, run: Run) -> frozenset[Symbol]:
    """Return the symbols a run needs; gathered anew when its contracts or holdings changed, and now and then."""
    holdings, turn = changes.holdings(run.id), (int(changes.now.timestamp()) + run.id) // INDICES_SECONDS
    known = world.wanted.get(run.id)
    if known is not None and known[0] is run.resolved and known[1] is holdings and known[2] == turn:
        return known[3]
    symbols = frozenset(symbols_of(run) | indices_wanted(changes, world, run))
    world.wanted[run.id] = (run.resolved, holdings, turn, symbols)
    return symbols


def symbols_of(run: Run) -> set[Symbol]:
    """Return the symbols a run's P is marked with."""
    return {(leg["symbol"], Exchange(leg["exchange"])) for leg in run.resolved.get("legs", [])}


def _poll_quotes(
    changes: Pass,
    world: World,
    owner_id: int,
    venue: str,
    symbols: AbstractSet[Symbol],
    *,
    resting: Collection[tuple[str, Symbol]],
) -> None:
    now, market = changes.now, market_of(owner_id, venue)
    accounts = [account for account in world.of_venue(owner_id, venue) if account.connected]
    if not accounts:
        return
    if not symbols.isdisjoint(world.prices.doubts(market)):
        doubts.tell(changes, world, owner_id, venue)
        if world.data.may_hurry(market, now):
            # a second look decides whether a jump is believed: now, and from two servers
            changes.after_commit.append(partial(_read_quotes, world, accounts[:2], symbols, now))
            return
    if now < world.quotes_due.get(market, now) <= now + QUOTES:  # further ahead: the clock was set back since
        return
    silent, unanswered = [], False
    for symbol in symbols:
        view = world.prices.view(market, symbol)
        newest = max((at for at in (view.tick_at, view.quote_at) if at is not None), default=None) if view else None
        untouched = (market, symbol) in resting and _untouched(world, market, symbol, now)
        if (
            newest is None
            or now - newest > OWN_TICK_AGE - QUOTES
            or untouched
            or _unchanged(world, market, symbol, now)
        ):
            silent.append(symbol)
            unanswered = unanswered or (newest is not None and now - newest > OWN_TICK_AGE)
    if silent:
        asked = accounts[:ASKED_AT_ONCE] if unanswered else [_whose_turn(accounts, world.data.polls.get(market, 0))]
        changes.after_commit.append(partial(_read_quotes, world, asked, silent, now))


def _whose_turn(accounts: Sequence[Account], polls: int) -> Account:
    """Return whom the next poll asks: every other one an account that is not the first, so that none blinds a venue."""
    return accounts[0] if polls % 2 == 0 or len(accounts) == 1 else accounts[1 + polls // 2 % (len(accounts) - 1)]


def _unchanged(world: World, market: str, symbol: Symbol, now: datetime) -> bool:
    """Whether ticks of a symbol only repeat its price: a quote tells a quiet market from a feed that stands still."""
    since, view = world.prices.repeated_since(market, symbol), world.prices.view(market, symbol)
    if since is None or view is None or now - since < UNCHANGED:
        return False
    return view.quote_at is None or abs(now - view.quote_at) >= UNCHANGED


def _untouched(world: World, market: str, symbol: Symbol, now: datetime) -> bool:
    """Whether bid and ask of a symbol are missing or older than a poll: a resting exit is re-priced from them."""
    touch = world.prices.touch_of(market, symbol)
    return touch is None or abs(now - touch[2]) >= QUOTES


def _connect(changes: Pass, account: Account) -> None:
    if account.connecting_since is None or changes.now - account.connecting_since > CONNECT_AGAIN:
        changes.after_commit.append(partial(_connect_now, account, changes.now))


def _period_over(changes: Pass, account: Account) -> bool:
    if account.books is None:
        return True
    at_rest = OPEN if changes.ledger.index.on.get(account.id) else QUIET
    period = FLIGHT if _in_flight(changes, account) else at_rest
    new_day = account.books_day != ist_day(changes.now)
    return new_day or changes.now - account.books.begun_at >= period


def _in_flight(changes: Pass, account: Account) -> bool:
    return any(changes.open_run(order.execution_id) is not None for order in changes.alive_orders(account.id))


def _can_wait(changes: Pass, account: Account) -> bool:
    """Whether a read of books is routine: nobody asked for it, nothing is in flight, and others were valid."""
    return not account.books_wanted and account.books is not None and not _in_flight(changes, account)
