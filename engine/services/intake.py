"""Commands become plans, in the transaction that marks them taken; what is too late or unseen is refused (RULES 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from engine.domain.errors import DomainError
from engine.domain.schedule import may_enter
from engine.services import previewing
from engine.services.beginning import accounts_for, begin_run, reader_of
from engine.services.closing import close_run
from engine.services.declaring import declare_order
from engine.services.drill import drill
from engine.services.errors import Refused, ServiceError
from engine.services.halting import halt, rearm
from engine.services.ledger import Pass
from engine.services.limit_setting import set_limits
from engine.services.messages import CommandArrived
from engine.services.outside import adopt
from engine.services.rearming import rearm_rule
from engine.services.taking_over import take_over
from engine.services.terms import StrategyTerms
from engine.services.world import Account, Preview, World

TermsOf = Callable[[int, int], StrategyTerms | None]
"""(strategy id, version number) → terms, None if there is none."""

PREVIEW_PATIENCE = timedelta(seconds=10)
TOO_LATE = "The engine did not take this in time; nothing was sent."


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes commands. ``terms_of`` reads strategies, ``reload`` reads accounts and schedules anew."""

    terms_of: TermsOf
    reload: Callable[[], None]

    def take(self, changes: Pass, world: World, command: CommandArrived) -> None:
        """Turn one command into its plan, or refuse it with the reason."""
        try:
            if command.valid_until is not None and changes.now > command.valid_until:
                raise Refused(TOO_LATE)
            self._carry_out(changes, world, command)
        except ServiceError as refusal:
            changes.answer_command(command.id, "refused", {"message": str(refusal)})
        except (DomainError, KeyError, TypeError, ValueError, OverflowError) as error:
            changes.answer_command(command.id, "refused", {"message": f"The command makes no sense: {error}"})

    def _carry_out(self, changes: Pass, world: World, command: CommandArrived) -> None:
        match command.kind:
            case "execute":
                self._execute(changes, world, command)
            case "preview":
                self._preview(changes, world, command)
            case "close_run":
                close_run(changes, world, command)
            case "take_over":
                take_over(changes, world, command)
            case "adopt":
                adopt(changes, world, command)
            case "declare_order":
                declare_order(changes, world, command)
            case "halt":
                halt(changes, world, command)
            case "rearm":
                rearm(changes, world, command)
            case "set_limits":
                set_limits(changes, world, command)
            case "rearm_rule":
                rearm_rule(changes, world, command)
            case "drill":
                drill(changes, world, command, press=halt)
            case "reload_accounts":
                changes.after_commit.append(self.reload)
                changes.answer_command(command.id, "done", {"message": "The accounts were read anew."})
            case other:
                raise Refused(f"The engine knows no command {other!r}.")

    def _execute(self, changes: Pass, world: World, command: CommandArrived) -> None:
        terms = self._terms(command)
        there = sorted(run.id for run in changes.open_runs() if run.strategy_id == terms.strategy_id)
        seen = sorted(int(run_id) for run_id in command.payload["seen_run_ids"])
        if there != seen:
            which = ", ".join(f"run {run_id}" for run_id in there) or "none"
            raise Refused(f"The open runs of {terms.name} changed: there is {which} now. Nothing was sent.")
        if there and not command.payload["again"]:
            raise Refused(f"{terms.name} already has an open run. Choose “Run again” to open a second one.")
        accounts = _accounts(world, command, terms)
        why = [changes.halted(command.user_id, account.id) for account in accounts]
        if all(why):
            raise Refused(
                f"Entries are halted until they are re-armed or the next session: {why[0]}. Nothing was sent."
            )
        if too_late := may_enter(terms.schedule.last_entry_time, changes.now):
            raise Refused(f"{terms.name}: {too_late}.")
        previewed = command.payload.get("contracts") or ()
        run = begin_run(changes, world, terms, accounts, command_id=command.id, previewed=previewed)
        changes.answer_command(
            command.id, "done", {"run_id": run.id, "message": f"Run {run.id} of {terms.name} has begun."}
        )

    def _preview(self, changes: Pass, world: World, command: CommandArrived) -> None:
        terms = self._terms(command)
        accounts = _accounts(world, command, terms)
        world.previews[command.id] = Preview(
            command_id=command.id,
            user_id=command.user_id,
            terms=terms,
            account_ids=tuple(account.id for account in accounts),
            deadline=changes.now + PREVIEW_PATIENCE,
        )
        reader = reader_of(world, accounts[0])
        changes.after_commit.append(partial(reader.hands.resolve, terms.legs, run_id=None, command_id=command.id))
        previewing.ask_for_funds(changes, accounts)

    def _terms(self, command: CommandArrived) -> StrategyTerms:
        terms = self.terms_of(int(command.payload["strategy_id"]), int(command.payload["version"]))
        if terms is None or terms.owner_id != command.user_id or terms.archived:
            raise Refused("There is no such strategy.")
        if terms.number != terms.current_number:
            raise Refused(f"{terms.name} is at version {terms.current_number} now; the page showed {terms.number}.")
        return terms


def _accounts(world: World, command: CommandArrived, terms: StrategyTerms) -> list[Account]:
    return accounts_for(world, command.user_id, command.payload.get("account_ids") or terms.account_ids)
