"""Hypothesis strategies and settings shared by the unit tests."""

from hypothesis import settings
from hypothesis import strategies as st

thorough = settings(deadline=None, max_examples=300)
"""No deadline: a busy machine is not a defect."""

lot_sizes = st.sampled_from([1, 15, 20, 25, 30, 35, 50, 65, 75, 120, 140])
signed_lots = st.integers(min_value=-40, max_value=40)
rupee_amounts = st.integers(min_value=1, max_value=50_000_000)
percentages = st.integers(min_value=1, max_value=100)
profits = st.integers(min_value=-10_000_000, max_value=10_000_000)
