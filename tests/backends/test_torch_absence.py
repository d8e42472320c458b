"""Why torch has no such device; each cause is put there by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from dlbench.backends.torch import absence
from dlbench.backends.torch.backend import TorchBackend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and "
    "installing a new\nversion from the URL: http://www.nvidia.com/Download/index.aspx"
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of whose accelerators nothing is known; the build is for processors, as its version says."""
    monkeypatch.setattr(TorchBackend, "devices", classmethod(lambda cls: ("cpu",)))
    monkeypatch.setattr(torch, "__version__", "2.13.0+cpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(absence, "NVIDIA_DRIVER", Path("/nowhere"))
    monkeypatch.setattr(absence, "AMD_DRIVER", Path("/nowhere"))
    for name in absence.VISIBLE:
        monkeypatch.delenv(name, raising=False)


def test_a_build_without_cuda_is_told_with_the_command_that_installs_one() -> None:
    assert TorchBackend.why_not("cuda:0") == (
        "this torch (2.13.0+cpu) was built without CUDA; pip install --force-reinstall torch --index-url "
        "https://download.pytorch.org/whl/cu130 (for an AMD GPU https://download.pytorch.org/whl/rocm6.4)"
    )


def test_beside_an_amd_gpu_the_build_for_rocm_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(absence, "AMD_DRIVER", tmp_path)
    assert TorchBackend.why_not("cuda:0") == (
        "this torch (2.13.0+cpu) was built without ROCm; pip install --force-reinstall torch --index-url "
        "https://download.pytorch.org/whl/rocm6.4 (for another ROCm version see https://pytorch.org/get-started/locally/)"
    )


def test_beside_gpus_of_both_the_build_for_cuda_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(absence, "AMD_DRIVER", tmp_path)
    monkeypatch.setattr(absence, "NVIDIA_DRIVER", tmp_path)
    assert "was built without CUDA" in TorchBackend.why_not("cuda:0")


def test_a_build_without_xpu_is_told_with_the_command_that_installs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.xpu, "_is_compiled", lambda: False)
    assert TorchBackend.why_not("xpu:0") == (
        "this torch (2.13.0+cpu) was built without XPU; pip install --force-reinstall torch --index-url "
        "https://download.pytorch.org/whl/xpu"
    )


def refuse(text: str) -> None:
    warnings.warn("CUDA initialization: something unusual", stacklevel=2)
    raise RuntimeError(text)


def test_a_driver_that_is_too_old_is_told_in_torchs_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", lambda: refuse(OLD_DRIVER))
    assert TorchBackend.why_not("cuda:0") == " ".join(OLD_DRIVER.split())


def test_cards_that_are_hidden_are_told_by_the_variable_that_hides_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", lambda: refuse("No CUDA GPUs are available"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert TorchBackend.why_not("cuda:0") == (
        "No CUDA GPUs are available (CUDA_VISIBLE_DEVICES is ``; unset it or name a GPU)"
    )


def test_a_build_for_rocm_is_asked_as_one_for_cuda_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(torch.cuda, "init", lambda: refuse("No HIP GPUs are available"))
    assert TorchBackend.why_not("cuda:0") == "No HIP GPUs are available"


def test_a_runtime_that_starts_without_a_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    assert TorchBackend.why_not("cuda:0") == "torch.cuda starts, but lists no device"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (("cpu", "cuda:0"), "no cuda:7: there is 1: cuda:0"),
        (("cpu", "cuda:0", "cuda:1"), "no cuda:7: there are 2: cuda:0, cuda:1"),
    ],
)
def test_an_index_that_does_not_exist_is_told_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(TorchBackend, "devices", classmethod(lambda cls: there))
    assert TorchBackend.why_not("cuda:7") == said


def test_a_build_without_metal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    assert TorchBackend.why_not("mps:0") == (
        "this torch (2.13.0+cpu) was built without MPS; install it on a Mac: pip install torch"
    )


def test_a_mac_without_a_usable_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    assert TorchBackend.why_not("mps:0").endswith("use --device cpu")


def test_a_kind_that_torch_does_not_know_is_told_with_what_there_is() -> None:
    assert TorchBackend.why_not("tpu:0") == "torch computes on cpu here, not on tpu:0"


def test_a_build_that_breaks_when_asked_is_told_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise OSError("libze_loader.so.1: cannot open shared object file")

    monkeypatch.setattr(torch.xpu, "_is_compiled", broken)
    assert TorchBackend.why_not("xpu:0") == (
        "torch cannot tell why it sees no xpu:0: libze_loader.so.1: cannot open shared object file"
    )
