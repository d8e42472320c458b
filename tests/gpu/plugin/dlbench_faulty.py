"""Third-party backends for the tests on a card: a right matmul, and every fault that a card makes of a wrong one."""

from __future__ import annotations

from dlbench.backends.backend import BackendSpec

_VARIANTS = {
    "right": "the framework's product",
    "hogs": "allocates until the card is full",
    "poisons": "leaves the device's context unusable",
    "hangs": "starts a kernel that never ends",
}
TORCH = BackendSpec("faulty", "dlbench_faulty_torch", "FaultyTorch", "torch", "pip install torch", _VARIANTS)
CUPY = BackendSpec("faulty_cupy", "dlbench_faulty_cupy", "FaultyCupy", "cupy", "pip install cupy", _VARIANTS)
