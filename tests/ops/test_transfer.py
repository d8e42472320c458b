from __future__ import annotations

import numpy as np
import pytest

from dlbench.ops.transfer import ToDevice, ToHost

TRANSFERS = [ToDevice, ToHost]


@pytest.mark.parametrize("op", TRANSFERS)
def test_a_byte_counts_once_since_it_crosses_the_link_once(op: type[ToDevice] | type[ToHost]) -> None:
    assert op(n=10).traffic("forward", 4) == op(n=10, pinned=True).traffic("forward", 4) == 40
    assert op(n=10).flops("forward") == 0


@pytest.mark.parametrize("op", TRANSFERS)
def test_a_transfer_copies(op: type[ToDevice] | type[ToHost]) -> None:
    a = np.array([1.0, 2.0])
    c = op(n=2).reference("forward", {"a": a})["c"]
    assert c.tolist() == [1.0, 2.0]
    assert not np.shares_memory(a, c)
    assert op(n=2).inputs("forward")["a"] == op(n=2).outputs("forward")["c"] == (2,)


@pytest.mark.parametrize("op", TRANSFERS)
def test_the_label_says_what_kind_of_memory_the_hosts_is(op: type[ToDevice] | type[ToHost]) -> None:
    assert op(n=1_048_576).label() == "1,048,576 pageable"
    assert op(n=1_048_576, pinned=True).label() == "1,048,576 pinned"
