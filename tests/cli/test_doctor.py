import json
import socket

import pytest

from biopose_live.cli import doctor
from biopose_live.cli.doctor import Finding, examine
from biopose_live.errors import EXIT_FAILURE, EXIT_MODEL, EXIT_OK, UserError
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.device import Gpu
from biopose_live.mqhmr.network.model import MQHMR, save_network
from biopose_live.mqhmr.network.tensorrt_cache import Key, write

TINY = Architecture(
    height=32, width=32, depth=1, embed=16, vit_heads=2, scales=(1,), queries=4, width_model=16, layers=1, heads=2,
    points=1, feed=16,
)  # fmt: skip


def only(monkeypatch, *checks):
    monkeypatch.setattr(doctor, "CHECKS", checks)


def good():
    yield Finding("good", "ok", "found")


def test_every_check_reports_and_none_raises():
    findings = examine()
    names = " ".join(finding.check for finding in findings)
    for expected in ("Python", "torch", "pyzmq", "h264 decoder", "mjpeg decoder", "processors", "port 5556"):
        assert expected in names
    assert all(finding.hint for finding in findings if finding.state != "ok")


def test_ready_means_exit_code_zero(monkeypatch, capsys):
    only(monkeypatch, ("good", True, good))
    assert doctor.main([]) == EXIT_OK
    assert "Ready: biopose-live --demo" in capsys.readouterr().out


def test_something_missing_means_another_exit_code_and_a_hint(monkeypatch, capsys):
    def bad():
        raise UserError("The skeleton is missing: install again.", EXIT_MODEL)
        yield

    only(monkeypatch, ("good", True, good), ("skeleton", True, bad), ("camera", False, bad))
    assert [finding.state for finding in examine()] == ["ok", "missing", "warning"]
    assert doctor.main([]) == EXIT_FAILURE
    out = " ".join(capsys.readouterr().out.split())
    assert "The skeleton is missing: install again." in out
    assert "The demo cannot run yet: skeleton." in out


def test_json_is_the_same_report(monkeypatch, capsys):
    only(monkeypatch, ("good", True, good))
    assert doctor.main(["--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out) == {
        "ready": True,
        "findings": [{"check": "good", "state": "ok", "found": "found", "hint": ""}],
    }


def test_a_check_whose_package_is_missing_says_so(monkeypatch):
    def needs():
        import a_package_that_is_not_there  # noqa: F401

        yield Finding("x", "ok", "")

    only(monkeypatch, ("needs", True, needs))
    (finding,) = examine()
    assert finding.state == "missing"
    assert "a_package_that_is_not_there" in finding.found


def test_a_package_that_is_missing_or_broken(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package-anywhere": "x", "numpy": "numpy.no_such_module"})
    first, second = doctor.packages()
    assert (first.state, first.hint) == ("missing", "pip install no-such-package-anywhere")
    assert second.state == "missing"
    assert "does not load" in second.found


def test_a_library_that_is_missing_names_its_package(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(doctor, "GRAPHICS_LIBRARIES", {"libnothing.so.9": "libnothing9"})
    (finding,) = doctor.graphics_libraries()
    assert (finding.state, finding.hint) == ("missing", "apt install libnothing9")


def test_a_busy_port_is_told_with_the_way_out(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(doctor, "Settings", lambda: doctor_settings(port))
        (finding,) = doctor.publish_port()
    assert finding.state == "missing"
    assert f"port {port}" == finding.check
    assert "--publish" in finding.hint
    (finding,) = doctor.publish_port()
    assert finding.state == "ok"


def doctor_settings(port: int):
    from biopose_live.settings import Settings

    return Settings(publish=f"tcp://127.0.0.1:{port}")


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        doctor.main(["--nonsense"])
    assert caught.value.code == 2


def test_ones_own_network_is_looked_at(monkeypatch, tmp_path, capsys):
    only(monkeypatch, ("good", True, good))
    monkeypatch.setattr("biopose_live.mqhmr.network.device.find_gpu", lambda: Gpu(False))
    save_network(MQHMR(TINY), tmp_path / "mine.safetensors")
    assert doctor.main(["--network", str(tmp_path / "mine.safetensors")]) == EXIT_OK
    out = " ".join(capsys.readouterr().out.split())
    assert "mine.safetensors: ViT of 1 layers at 32 x 32 px" in out
    assert "runs by plain PyTorch on the CPU, on the CPU" in out
    (finding,) = doctor.examine(tmp_path / "none.safetensors")[1:]
    assert finding.state == "warning"
    assert "There is no network" in finding.hint


@pytest.mark.parametrize(
    ("gpu", "state", "words"),
    [
        (Gpu(True, "NVIDIA H200", 141.0, (9, 0), present=True), "ok", "NVIDIA H200, 141 GB"),
        (
            Gpu(False, present=True, reason="the driver is too old", cure="update it"),
            "warning",
            "the driver is too old",
        ),
        (Gpu(False), "ok", "none"),
    ],
)
def test_gpus(monkeypatch, gpu, state, words):
    monkeypatch.setattr("biopose_live.mqhmr.network.device.find_gpu", lambda: gpu)
    (finding,) = doctor.gpu()
    assert finding.state == state
    assert words in finding.found


def test_tensorrt_is_spoken_of_beside_a_gpu_only(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("biopose_live.mqhmr.network.device.find_gpu", lambda: Gpu(False))
    assert list(doctor.tensorrt()) == []
    monkeypatch.setattr("biopose_live.mqhmr.network.device.find_gpu", lambda: Gpu(True))
    (finding,) = doctor.tensorrt()
    assert "pip install 'biopose-live[tensorrt]'" in finding.found
    monkeypatch.setattr("biopose_live.mqhmr.network.tensorrt_encoder.installed", lambda: "")
    write(
        Key("NVIDIA H200", (9, 0), "2.13.0", "2.13.0", "11.0", "0123456789abcdef", (4, 3, 256, 192), "bfloat16"), b"x"
    )
    (finding,) = doctor.tensorrt()
    assert "1 engines in" in finding.found
    assert "NVIDIA H200, TensorRT 11.0, 4 at a time" in finding.found
