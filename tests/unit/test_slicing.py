import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import ContractError
from engine.domain.slicing import known_freeze, slice_quantity
from tests.unit.strategies import lot_sizes, thorough


@pytest.mark.parametrize(
    ("quantity", "lot_size", "freeze", "slices"),
    [
        (2600, 65, 1800, [1755, 845]),
        (1755, 65, 1800, [1755]),
        (1800, 75, 1800, [1800]),
        (65, 65, 1800, [65]),
        (3510, 65, 1800, [1755, 1755]),
        (3575, 65, 1800, [1755, 1755, 65]),
        (1200, 30, 600, [600, 600]),
        (1020, 20, 1000, [1000, 20]),
        (65, 65, 65, [65]),
    ],
)
def test_an_order_is_cut_into_full_slices_and_a_remainder(quantity, lot_size, freeze, slices):
    assert slice_quantity(quantity, lot_size=lot_size, freeze_quantity=freeze) == slices


@pytest.mark.parametrize("freeze", [None, 1, 0])
def test_with_an_unknown_freeze_twenty_lots_go_as_one_order(freeze):
    assert slice_quantity(20 * 20, lot_size=20, freeze_quantity=freeze) == [400]


@pytest.mark.parametrize("freeze", [None, 1])
def test_with_an_unknown_freeze_more_than_twenty_lots_are_denied(freeze):
    with pytest.raises(ContractError, match="20 lots") as caught:
        slice_quantity(21 * 20, lot_size=20, freeze_quantity=freeze)
    assert caught.value.field == "freeze_quantity"


@pytest.mark.parametrize("quantity", [0, -65, 64, 66, 130 + 1])
def test_a_quantity_that_is_no_positive_lot_multiple_is_refused(quantity):
    with pytest.raises(ContractError) as caught:
        slice_quantity(quantity, lot_size=65, freeze_quantity=1800)
    assert caught.value.field == "quantity"


def test_a_freeze_below_one_lot_is_refused():
    with pytest.raises(ContractError, match="less than one lot"):
        slice_quantity(65, lot_size=65, freeze_quantity=64)


def test_a_lot_size_of_zero_is_refused():
    with pytest.raises(ContractError) as caught:
        slice_quantity(65, lot_size=0, freeze_quantity=1800)
    assert caught.value.field == "lot_size"


def test_the_servers_one_means_unknown():
    assert known_freeze(1) is None
    assert known_freeze(600) == 600


@thorough
@given(lots=st.integers(1, 2000), lot_size=lot_sizes, freeze_lots=st.integers(1, 60), odd=st.integers(0, 139))
def test_slices_add_up_and_each_is_a_lot_multiple_under_the_freeze(lots, lot_size, freeze_lots, odd):
    freeze = max(2, freeze_lots * lot_size + odd % lot_size)
    slices = slice_quantity(lots * lot_size, lot_size=lot_size, freeze_quantity=freeze)
    assert sum(slices) == lots * lot_size
    assert all(0 < part <= freeze and part % lot_size == 0 for part in slices)
    assert len(slices) == -(-lots // (freeze // lot_size))
