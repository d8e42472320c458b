"""Which devices a machine has, and what of the boards' settings says that two runs' peaks are comparable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fake_nvml import FakeBoard, FakeNvml

from dlbench.devices import amd, apple, cuda, environment, intel, nvml
from dlbench.devices.device import Device

CPU = Device("cpu", "A processor", "somebody", cores=2)
CARD = Device("cuda:0", "NVIDIA A100-SXM4-40GB", "nvidia", uuid="GPU-aaaa")
BOARD = FakeBoard()


@pytest.mark.parametrize(
    ("system", "machine", "names"),
    [("darwin", "arm64", ["mps:0"]), ("darwin", "x86_64", []), ("linux", "arm64", [])],
)
def test_only_apples_own_processors_have_apples_gpu(system: str, machine: str, names: list[str]) -> None:
    assert [gpu.name for gpu in apple.gpus(system, machine)] == names


class TestDevices:
    def _found(self, monkeypatch: pytest.MonkeyPatch, **gpus: tuple[Device, ...]) -> list[str]:
        for name, module in {"cuda": cuda, "amd": amd, "intel": intel, "apple": apple}.items():
            monkeypatch.setattr(module, "gpus", lambda name=name: gpus.get(name, ()))
        return [f"{device.name} {device.vendor}" for device in environment.devices()[1:]]

    def test_the_processor_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._found(monkeypatch) == []
        assert environment.devices()[0].name == "cpu"

    def test_intels_boards_stand_beside_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        intels = (Device("xpu:0", "Intel GPU 56a0", "intel"),)
        assert self._found(monkeypatch, cuda=(CARD,), intel=intels) == ["cuda:0 nvidia", "xpu:0 intel"]

    def test_two_makers_never_share_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        amds = (Device("cuda:0", "AMD GPU", "amd"),)
        assert self._found(monkeypatch, cuda=(CARD,), amd=amds) == ["cuda:0 nvidia"]
        assert self._found(monkeypatch, amd=amds) == ["cuda:0 amd"]


class TestFingerprint:
    """Two runs with one fingerprint have comparable peaks."""

    def _environment(
        self, monkeypatch: pytest.MonkeyPatch, board: FakeBoard, *devices: Device
    ) -> dict[str, Any]:
        library, find = FakeNvml(board), nvml.find
        monkeypatch.setattr(nvml, "find", lambda uuid, pci: find(uuid, pci, library))
        return environment.environment([CPU, *devices], threads=2, installed={"torch": "2.13.0"})

    def _fingerprint(self, monkeypatch: pytest.MonkeyPatch, board: FakeBoard) -> str:
        return str(self._environment(monkeypatch, board, CARD)["machine"]["fingerprint"])

    @pytest.mark.parametrize("changes", [{"limit_mw": 250_000}, {"ecc": (0, 0)}, {"mig": (1, 1)}])
    def test_what_changes_a_boards_peaks_and_stays_changes_it(
        self, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
    ) -> None:
        with monkeypatch.context() as patched:
            before = self._fingerprint(patched, BOARD)
        assert self._fingerprint(monkeypatch, replace(BOARD, **changes)) != before

    @pytest.mark.parametrize(
        "changes", [{"temperature": 80}, {"persistence": 0}, {"lanes": 8}, {"ecc": (1, 0)}, {"reasons": 8}]
    )
    def test_what_comes_and_goes_does_not(
        self, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
    ) -> None:
        with monkeypatch.context() as patched:
            before = self._fingerprint(patched, BOARD)
        assert self._fingerprint(monkeypatch, replace(BOARD, **changes)) == before

    def test_the_settings_are_kept_with_the_state_as_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = json.loads(json.dumps(self._environment(monkeypatch, BOARD, CARD)))
        assert facts["state"]["boards"]["cuda:0"]["power limit w"] == 400.0
        assert facts["machine"]["devices"][1]["uuid"] == "GPU-aaaa"

    def test_a_card_of_another_maker_is_not_looked_for_among_nvidias(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        amds = Device("cuda:0", "AMD GPU", "amd", uuid="GPU-aaaa")
        assert self._environment(monkeypatch, BOARD, amds)["state"]["boards"] == {}


def test_other_processes_on_a_board_are_kept_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = replace(BOARD, processes=[(2**22 + 1, None)])
    library, find = FakeNvml(shared), nvml.find
    monkeypatch.setattr(nvml, "find", lambda uuid, pci: find(uuid, pci, library))
    told = environment.environment([CPU, CARD], threads=2, installed={})["state"]["boards"]["cuda:0"]
    assert told["other processes"] == [f"a process ({2**22 + 1})"]
    assert told["ecc"] == "on"
