"""Ready-made strategies to start from, as plain data.

Their limits are chosen so that each fits its structure: ₹ per lot where the net premium is small beside the gross one
(RULES 7 refuses percentages there), and an exit at 15:15 IST, because nothing rests at the broker overnight.
"""

from __future__ import annotations

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.views import TemplateView

EXIT_TIME = "15:15"


def _leg(underlying: str, action: str, kind: str, *, otm: int = 0, expiry: str = "current_week") -> LegDraft:
    return LegDraft(
        underlying=underlying,
        action=action,
        instrument_type=kind,
        expiry_choice=expiry,
        strike_kind="otm" if otm else "atm",
        strike_value=float(otm),
    )


TEMPLATES: tuple[TemplateView, ...] = (
    TemplateView(
        key="short_straddle",
        title="Short straddle, NIFTY, current week",
        description="Sell the call and the put at the money. Earns while NIFTY stands still, loses when it runs.",
        draft=StrategyDraft(
            name="Short straddle, NIFTY",
            account_ids=[],
            legs=[_leg("NIFTY", "SELL", "CE"), _leg("NIFTY", "SELL", "PE")],
            limits=LimitsDraft(
                max_loss=2000.0, max_loss_unit="per_lot", max_profit=50.0, max_profit_unit="percent_of_premium",
                exit_time=EXIT_TIME,
            ),
        ),
    ),
    TemplateView(
        key="short_strangle",
        title="Short strangle, NIFTY, current week",
        description="Sell a call and a put four strikes out of the money. Less premium, more room to move.",
        draft=StrategyDraft(
            name="Short strangle, NIFTY",
            account_ids=[],
            legs=[_leg("NIFTY", "SELL", "CE", otm=4), _leg("NIFTY", "SELL", "PE", otm=4)],
            limits=LimitsDraft(
                max_loss=2000.0, max_loss_unit="per_lot", max_profit=50.0, max_profit_unit="percent_of_premium",
                trailing_kind="percent_of_premium", trailing_value=25.0, trailing_activate_at=5000.0,
                exit_time=EXIT_TIME,
            ),
        ),
    ),
    TemplateView(
        key="iron_condor",
        title="Iron condor, NIFTY, current week",
        description="A short strangle with bought wings: the loss is bounded even if nobody watches. Wings go first.",
        draft=StrategyDraft(
            name="Iron condor, NIFTY",
            account_ids=[],
            legs=[
                _leg("NIFTY", "BUY", "CE", otm=8), _leg("NIFTY", "BUY", "PE", otm=8),
                _leg("NIFTY", "SELL", "CE", otm=4), _leg("NIFTY", "SELL", "PE", otm=4),
            ],
            limits=LimitsDraft(
                max_loss=1500.0, max_loss_unit="per_lot", max_profit=1500.0, max_profit_unit="per_lot",
                exit_time=EXIT_TIME,
            ),
        ),
    ),
    TemplateView(
        key="long_straddle",
        title="Long straddle, NIFTY, current week",
        description="Buy the call and the put at the money. Earns when NIFTY runs, loses premium while it stands.",
        draft=StrategyDraft(
            name="Long straddle, NIFTY",
            account_ids=[],
            legs=[_leg("NIFTY", "BUY", "CE"), _leg("NIFTY", "BUY", "PE")],
            limits=LimitsDraft(
                max_loss=25.0, max_loss_unit="percent_of_premium",
                max_profit=50.0, max_profit_unit="percent_of_premium",
                trailing_kind="percent_of_profit", trailing_value=30.0, trailing_activate_at=10_000.0,
                exit_time=EXIT_TIME,
            ),
        ),
    ),
    TemplateView(
        key="sensex_strangle",
        title="Short strangle, SENSEX, current week",
        description="The same idea on BSE's index, with strikes every 100 points and lots of 20.",
        draft=StrategyDraft(
            name="Short strangle, SENSEX",
            account_ids=[],
            legs=[_leg("SENSEX", "SELL", "CE", otm=6), _leg("SENSEX", "SELL", "PE", otm=6)],
            limits=LimitsDraft(
                max_loss=2000.0, max_loss_unit="per_lot", max_profit=50.0, max_profit_unit="percent_of_premium",
                trailing_kind="percent_of_premium", trailing_value=25.0, exit_time=EXIT_TIME,
            ),
        ),
    ),
)  # fmt: skip
"""All templates, the one for a first try first."""


def template(key: str) -> TemplateView | None:
    """Return the template with this key, None when there is none."""
    return next((item for item in TEMPLATES if item.key == key), None)
