"""The board as its driver shows it is the card that the frameworks compute on."""

from __future__ import annotations

import time

import pytest
from gpu_card import CARD, SPECS, backend_of, call_of

from dlbench.backends.backend import Backend
from dlbench.devices import nvml
from dlbench.devices.nvml import Board
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.runner.bench import Bench
from dlbench.runner.protocol import Assignment, Prepare, Prepared

pytestmark = pytest.mark.gpu

SECONDS = 2.0
"""NVML's counter of energy moves every 20 to 100 ms."""


def board_of(backend: Backend) -> Board:
    identity = backend.identity()
    assert identity is not None
    board = nvml.find(identity.uuid, identity.pci)
    if board is None and not nvml.boards():
        pytest.skip("no NVIDIA driver: NVML shows no board")
    assert board is not None, identity
    return board


@pytest.mark.parametrize("name", SPECS)
def test_the_board_found_by_uuid_is_the_frameworks(name: str) -> None:
    backend = backend_of(name)
    board = board_of(backend)
    if not board.sliced:
        assert board.name == backend.environment()["device"]


def test_every_way_to_find_it_leads_to_one_board() -> None:
    if board_of(backend_of("torch")).sliced:
        pytest.skip("a slice by MIG has its whole board's address")
    identities = [backend_of(name).identity() for name in SPECS]
    ways = [(one.uuid, "") for one in identities if one] + [("", one.pci) for one in identities if one]
    found = [nvml.find(uuid, pci) for uuid, pci in ways if uuid or pci]
    assert {None if board is None else board.uuid for board in found} == {board_of(backend_of("torch")).uuid}


def test_the_board_has_the_cards_memory() -> None:
    import torch

    reading = board_of(backend_of("torch")).read()
    assert reading is not None
    assert reading.memory_total == pytest.approx(torch.cuda.get_device_properties(CARD).total_memory, rel=0.1)


def test_a_board_at_work_counts_energy_and_shows_a_clock() -> None:
    backend = backend_of("torch")
    board = board_of(backend)
    before = board.energy_j()
    if before is None:
        pytest.skip("this board does not count energy (NVML: Volta and newer)")
    clock, call = backend.clock(), call_of(backend, Problem(Matmul(m=2048, n=2048, k=2048)))
    with backend.activate("library"):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            clock.time(call, 10)
        reading = board.read()
    after = board.energy_j()
    assert after is not None
    assert after > before
    assert reading is not None
    assert reading.sm_clock_hz is not None
    assert reading.sm_clock_hz > 0


def test_energy_per_call_is_positive_where_it_is_asked_for() -> None:
    from dlbench.plan.case import Case, Variant

    backend = backend_of("torch")
    if board_of(backend).energy_j() is None:
        pytest.skip("this board does not count energy (NVML: Volta and newer)")
    bench = Bench(backend, Assignment("torch", CARD, threads=2, seed=0, minimum=1e-3, cache_bytes=2**25))
    product = Case(Problem(Matmul(m=1024, n=1024, k=1024)), Variant("torch", "library"), CARD)
    reply = bench.serve(Prepare(product, 0.01, energy=True))
    assert isinstance(reply, Prepared), reply
    assert reply.details["energy_j"] > 0
