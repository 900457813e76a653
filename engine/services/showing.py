"""The live view: what each user's pages show, made from memory once a second, every figure with its age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from datetime import datetime

from engine.domain.breaches import ExitRule
from engine.domain.due_times import due_times
from engine.domain.instruments import Exchange, Key
from engine.domain.orders import Order
from engine.domain.pnl import Holding, average_price
from engine.domain.rules import limit_paise
from engine.domain.runs import RUN_ENDED, PlanState, Run, RunAccount, RunState
from engine.services.day_limits import day_limit_views
from engine.services.day_profit import DayProfit, account_profit, by_account, figures_in_turn
from engine.services.failover import feed_views
from engine.services.gauges import run_gauges
from engine.services.knowledge import run_profit
from engine.services.ledger import Pass
from engine.services.lock_words import lock_words
from engine.services.messages import NEEDS_SESSION
from engine.services.owned import owned_now
from engine.services.price_board import market_of
from engine.services.rule_terms import rule_terms
from engine.services.scheduling import schedule_views
from engine.services.showing_exits import exit_views
from engine.services.showing_lots import entered_lots
from engine.services.showing_orders import doubtful_by_owner, truth_view, unknown_view, working_views
from engine.services.showing_reentries import reentry_views
from engine.services.supertrend_exit import supertrend_view
from engine.services.terms import StrategyTerms
from engine.services.views import AccountView, LimitView, LiveView, PositionView, RunAccountView, RunView
from engine.services.world import Account, World

SHOWN_AFTER_END_SECONDS = 86_400
ENDED_RUNS_SHOWN = 20


def live_views(changes: Pass, world: World) -> dict[int, LiveView]:
    """Return the live view of every user who owns an account or a run."""
    making = views_in_turn(lambda: changes, world)
    while True:
        try:
            next(making)
        except StopIteration as made:
            views: dict[int, LiveView] = made.value
            return views


def views_in_turn(look: Callable[[], Pass], world: World) -> Generator[None, None, dict[int, LiveView]]:
    """Make the live views piece by piece and return them at the end; ``look`` gives memory as it is at each piece.

    Between two pieces the core may look at prices: with hundreds of runs a view takes longer than a price may wait.
    """
    owners = {account.facts.owner_id for account in world.accounts.values()}
    owners |= {run.owner_id for run in look().ledger.runs.values()}
    doubtful = doubtful_by_owner(look(), world)
    views = {}
    for owner in sorted(owners):
        views[owner] = yield from _view(look, world, owner, doubtful.get(owner, []))
    return views


def as_json(view: LiveView, give_way: Callable[[], object] = lambda: None) -> str:
    """Return a live view as JSON, made run by run: one long call would hold the interpreter, and the core with it.

    ``give_way`` is called after each: a thread that is only asked to let others go on does so too late.
    """
    runs = []
    for run in view.runs:
        runs.append(run.model_dump_json())
        give_way()
    return f'{view.model_dump_json(exclude={"runs"})[:-1]},"runs":[{",".join(runs)}]}}'


def _view(
    look: Callable[[], Pass], world: World, owner_id: int, doubtful: list[Order]
) -> Generator[None, None, LiveView]:
    changes = look()
    mine = [run for run in changes.ledger.runs.values() if run.owner_id == owner_id]
    ended = [run for run in mine if run.state in RUN_ENDED and _still_shown(changes, run)]
    shown = {run.id for run in ended[-ENDED_RUNS_SHOWN:]}
    in_doubt = {order.id for order in doubtful}
    per_run = Counter(order.execution_id for order in doubtful)
    ids = [run.id for run in mine if run.state not in RUN_ENDED or run.id in shown]
    runs, working = [], []
    for run_id in ids:
        changes = look()
        run = changes.run(run_id)
        runs.append(_run_or_fault(changes, world, run, per_run[run_id]))
        if run.state not in RUN_ENDED:
            working += working_views(changes, world, run_id, _strategy(world, run), without=in_doubt)
        yield
    figures: list[DayProfit] = []
    for some in figures_in_turn(look, world, owner_id):
        figures += some
        yield
    profits = by_account(figures)
    known = [profit for profit in profits.values() if profit is not None]
    truth = []
    for account in sorted(world.accounts.values(), key=lambda account: world.shown(account.id)):
        if account.facts.owner_id == owner_id:
            truth.append(truth_view(look(), world, account))
            yield
    changes = look()
    accounts = [
        _account(account, profits.get(account.id, 0), sum(order.account_id == account.id for order in doubtful))
        for account in sorted(world.accounts.values(), key=lambda account: world.shown(account.id))
        if account.facts.owner_id == owner_id
    ]
    return LiveView(
        as_of=changes.now,
        accounts=accounts,
        runs=runs,
        profit_paise=sum(known) if len(known) == len(profits) else None,
        unknown=[unknown_view(changes, world, order) for order in doubtful],
        working=working,
        truth=truth,
        day_limits=day_limit_views(changes, world, owner_id, profits),
        feeds=feed_views(changes, world, owner_id),
        schedules=schedule_views(changes, world, owner_id),
    )


def _still_shown(changes: Pass, run: Run) -> bool:
    return run.closed_at is None or (changes.now - run.closed_at).total_seconds() < SHOWN_AFTER_END_SECONDS


def _run_or_fault(changes: Pass, world: World, run: Run, doubtful: int) -> RunView:
    """Return a run's view; one that cannot be made is shown as such and blinds nobody else's."""
    try:
        return _run(changes, world, run, doubtful)
    except Exception as error:  # noqa: BLE001 - the edge of one run
        return RunView(
            id=run.id,
            strategy_id=run.strategy_id,
            strategy=f"run {run.id}",
            version=0,
            venue=run.venue,
            state=run.state,
            reason=run.reason,
            created_at=run.created_at,
            entered_at=run.entered_at,
            closed_at=run.closed_at,
            profit_paise=None,
            problem=f"the run cannot be shown: {error}",
            limits=LimitView(),
            accounts=[],
            positions=[],
            unknown_orders=doubtful,
        )


def _run(changes: Pass, world: World, run: Run, doubtful: int) -> RunView:
    terms = world.terms_of(run.version_id)
    ended = run.state in {RunState.CLOSED, RunState.REFUSED}
    profit = run.profit_paise if ended else run_profit(changes, world, run)
    plans = [plan for plan in changes.plans_of(run.id) if plan.state in {PlanState.ACTIVE, PlanState.DONE}]
    positions = sorted(
        (_position(changes, world, run, key, held) for key, held in changes.holdings(run.id).items()),
        key=lambda row: (world.shown(row.account_id), row.leg_index, row.symbol),
    )
    blind_since = None if ended else world.blind_since.get(run.id)
    return RunView(
        id=run.id,
        strategy_id=run.strategy_id,
        strategy=terms.name,
        version=terms.number,
        venue=run.venue,
        state=run.state,
        reason=run.reason,
        created_at=run.created_at,
        entered_at=run.entered_at,
        closed_at=run.closed_at,
        profit_paise=profit,
        problem="" if profit is not None else "an open leg has no confirmed price",
        limits=_limits(world, run, terms),
        accounts=[
            _run_account(changes, world, run, row)
            for row in sorted(changes.accounts_of(run.id), key=lambda row: world.shown(row.account_id))
        ],
        positions=positions,
        exit_reason=plans[-1].reason if plans else "",
        unknown_orders=doubtful,
        exits=exit_views(changes, world, run),
        reentries=[] if ended else reentry_views(changes, world, run),
        gauges=[] if ended else run_gauges(changes, world, run, terms),
        supertrend=None if ended else supertrend_view(changes, world, run, terms),
        price_age_seconds=oldest_price(positions),
        blind_seconds=None if blind_since is None else max(0.0, (changes.now - blind_since).total_seconds()),
        drift=[] if ended else _drift(changes, world, run),
    )


def _run_account(changes: Pass, world: World, run: Run, row: RunAccount) -> RunAccountView:
    entered, uneven = entered_lots(changes, run, row)
    return RunAccountView(
        account_id=row.account_id,
        account=_name(world, row.account_id),
        state=row.state,
        lots=row.lots,
        bound_by=str(row.sizing.get("bound_by", "")),
        reason=row.reason,
        profit_paise=account_profit(changes, world, run, row.account_id),
        lots_filled=entered,
        uneven=uneven,
    )


def oldest_price(positions: Sequence[PositionView]) -> float | None:
    """Return the age of the oldest price of an open leg (seconds); None where nothing is open or a leg has no price."""
    ages = [row.ltp_age_seconds for row in positions if row.quantity]
    known = [age for age in ages if age is not None]
    return max(known) if known and len(known) == len(ages) else None


def _drift(changes: Pass, world: World, run: Run) -> list[str]:
    """Return the contracts that the broker's books show less of than the run owns, in words."""
    said = []
    for key, held in changes.holdings(run.id).items():
        account = world.accounts.get(key.account_id)
        left = held.quantity if account is None else owned_now(changes, account, run, key)
        if left != held.quantity:
            said.append(
                f"{_name(world, key.account_id)} {key.symbol}: owns {held.quantity:+}, the books leave {left:+}"
            )
    return said


def _limits(world: World, run: Run, terms: StrategyTerms) -> LimitView:
    limits = rule_terms(terms, str(run.resolved.get("product", ""))).limits
    lots, premium = run.lots_filled or None, run.premium_value_paise
    times: dict[ExitRule, datetime] = {}
    if run.entered_at is not None and run.resolved.get("legs"):
        exchange = Exchange(run.resolved["legs"][0]["exchange"])
        dues = due_times(limits, run.entered_at, world.calendar(run.venue), exchange)
        times = {rule: due for rule, _limit, due in dues}
    return LimitView(
        max_loss_paise=None
        if limits.max_loss is None
        else limit_paise(limits.max_loss, lots_filled=lots, premium_paise=premium),
        max_profit_paise=None
        if limits.max_profit is None
        else limit_paise(limits.max_profit, lots_filled=lots, premium_paise=premium),
        trailing=terms.limits.trailing_kind or "",
        trailing_words=lock_words(terms.limits) if terms.limits.trailing_kind == "lock_and_trail" else "",
        peak_paise=run.peak_paise,
        stop_paise=run.stop_paise,
        square_off_at=times.get(ExitRule.SQUARE_OFF),
        exit_at=times.get(ExitRule.EXIT_TIME),
    )


def _position(changes: Pass, world: World, run: Run, key: Key, held: Holding) -> PositionView:
    symbol = (key.symbol, key.exchange)
    view = world.prices.view(market_of(run.owner_id, run.venue), symbol)
    seen = max((at for at in (view.tick_at, view.quote_at) if at is not None), default=None) if view else None
    confirmed = world.confirmed_price(run.owner_id, run.venue, symbol, changes.now)
    profit: int | None = held.sell_value_paise - held.buy_value_paise
    if held.quantity:
        profit = None if confirmed is None else profit_of(held, confirmed)
    leg = next((leg for leg in run.resolved.get("legs", []) if leg["symbol"] == key.symbol), None)
    return PositionView(
        run_id=run.id,
        account_id=key.account_id,
        account=_name(world, key.account_id),
        leg_index=leg["leg_index"] if leg else 0,
        symbol=key.symbol,
        exchange=key.exchange,
        product=key.product,
        quantity=held.quantity,
        average_price=average_price(held),
        ltp=view.ltp if view else None,
        ltp_age_seconds=(changes.now - seen).total_seconds() if seen else None,
        confirmed=confirmed is not None,
        realised_paise=held.realised_paise,
        profit_paise=profit,
        lot_size=int(leg.get("lot_size", 0)) if leg else 0,
        freeze_quantity=int(leg.get("freeze_quantity") or 0) if leg else 0,
    )


def profit_of(held: Holding, price: float) -> int:
    """Return P of one holding at a price (paise)."""
    return held.sell_value_paise - held.buy_value_paise + round(price * 100) * held.quantity


def _account(account: Account, profit: int | None, doubtful: int) -> AccountView:
    facts = account.facts
    health = "ok" if account.armed and account.connected else "waiting"
    if account.quarantine or NEEDS_SESSION in account.waits_for:
        health = "refused"
    elif not account.connected:
        health = "unreachable"
    elif account.books_problem:
        health = "waiting"
    return AccountView(
        id=facts.id,
        name=facts.name,
        relation=facts.relation,
        group=facts.group,
        broker=facts.broker,
        venue=facts.venue,
        host=facts.host,
        grade=facts.grade,
        is_primary=facts.is_primary,
        active=True,
        armed=account.armed,
        waits_for=account.waits_for or account.books_problem,
        health=health,
        feed=account.feed,
        available_paise=account.available_paise,
        used_paise=account.used_paise,
        funds_at=account.funds_begun if account.available_paise is not None else None,
        books_at=account.books.begun_at if account.books else None,
        profit_paise=profit,
        unknown_orders=doubtful,
        quarantine=account.quarantine,
    )


def _name(world: World, account_id: int) -> str:
    account = world.accounts.get(account_id)
    return account.facts.name if account else f"account {account_id}"


def _strategy(world: World, run: Run) -> str:
    try:
        return world.terms_of(run.version_id).name
    except Exception:  # noqa: BLE001 - the edge of one run, which is shown as one that cannot be
        return f"run {run.id}"
