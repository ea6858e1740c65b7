"""Video4Linux structures; the oracle is the kernel's own header, compiled where there is a compiler."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

v4l2 = pytest.importorskip("biopose_live.capture.v4l2")

PROBE = """
#include <linux/videodev2.h>
#include <stddef.h>
#include <stdio.h>
#define P(x) printf("%lu\\n", (unsigned long)(x))
int main(void) {
  P(VIDIOC_QUERYCAP); P(VIDIOC_ENUM_FMT); P(VIDIOC_ENUM_FRAMESIZES); P(VIDIOC_ENUM_FRAMEINTERVALS);
  P(sizeof(struct v4l2_capability)); P(sizeof(struct v4l2_fmtdesc));
  P(sizeof(struct v4l2_frmsizeenum)); P(sizeof(struct v4l2_frmivalenum));
  P(offsetof(struct v4l2_capability, capabilities)); P(offsetof(struct v4l2_fmtdesc, pixelformat));
  P(offsetof(struct v4l2_frmsizeenum, type)); P(offsetof(struct v4l2_frmsizeenum, discrete));
  P(offsetof(struct v4l2_frmivalenum, type)); P(offsetof(struct v4l2_frmivalenum, discrete));
  P(V4L2_CAP_VIDEO_CAPTURE); P(V4L2_CAP_DEVICE_CAPS); P(V4L2_BUF_TYPE_VIDEO_CAPTURE);
  P(V4L2_FRMSIZE_TYPE_DISCRETE); P(V4L2_PIX_FMT_MJPEG);
  return 0;
}
"""


def test_numbers_and_layouts_are_the_kernels(tmp_path: Path) -> None:
    if not shutil.which("cc") or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler or no kernel headers")
    source = tmp_path / "probe.c"
    source.write_text(PROBE)
    subprocess.run(["cc", str(source), "-o", str(tmp_path / "probe")], check=True)
    out = subprocess.run([str(tmp_path / "probe")], check=True, capture_output=True, text=True).stdout
    numbers = list(map(int, out.split()))
    assert numbers[:18] == [
        v4l2.VIDIOC_QUERYCAP,
        v4l2.VIDIOC_ENUM_FMT,
        v4l2.VIDIOC_ENUM_FRAMESIZES,
        v4l2.VIDIOC_ENUM_FRAMEINTERVALS,
        v4l2.CAPABILITY_SIZE,
        v4l2.FORMAT_SIZE,
        v4l2.FRAME_SIZE_SIZE,
        v4l2.FRAME_INTERVAL_SIZE,
        84,
        44,
        8,
        12,
        16,
        20,
        v4l2.CAP_VIDEO_CAPTURE,
        v4l2.CAP_DEVICE_CAPS,
        v4l2.BUF_TYPE_VIDEO_CAPTURE,
        v4l2.DISCRETE,
    ]
    assert v4l2.fourcc(numbers[18]) == "MJPG"


@pytest.mark.parametrize(
    ("all_caps", "node_caps", "expected"),
    [(0x84A00001, 0x04200001, True), (0x84A00001, 0x04A00000, False), (0x1, 0x0, True), (0x2, 0x1, False)],
)
def test_metadata_nodes_are_no_cameras(all_caps: int, node_caps: int, expected: bool) -> None:
    capability = bytes(84) + struct.pack("=5I", all_caps, node_caps, 0, 0, 0)
    assert v4l2.captures_video(capability) is expected


def test_modes_are_read_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    mjpg = struct.unpack("=I", b"MJPG")[0]

    def ioctl(descriptor: int, request: int, question: bytes) -> bytes:
        (index,) = struct.unpack_from("=I", question)
        answer = bytearray(question)
        if request == v4l2.VIDIOC_ENUM_FMT and index == 0:
            struct.pack_into("=I", answer, 44, mjpg)
        elif request == v4l2.VIDIOC_ENUM_FRAMESIZES and index < 2:
            assert struct.unpack_from("=I", question, 4) == (mjpg,)
            struct.pack_into("=3I", answer, 8, v4l2.DISCRETE, *((1280, 720), (640, 480))[index])
        elif request == v4l2.VIDIOC_ENUM_FRAMEINTERVALS and index < 2:
            struct.pack_into("=3I", answer, 16, v4l2.DISCRETE, 1, (30, 15)[index])
        else:
            raise OSError(22, "end of list")
        return bytes(answer)

    monkeypatch.setattr(v4l2.fcntl, "ioctl", ioctl)
    assert [str(mode) for mode in v4l2._modes(3)] == ["MJPG 1280x720 @ 30/15", "MJPG 640x480 @ 30/15"]


def test_nodes_are_listed_by_number(tmp_path: Path) -> None:
    for number, name in ((10, "Ten"), (2, "Two"), (0, "Nought")):
        folder = tmp_path / f"video{number}"
        folder.mkdir()
        (folder / "name").write_text(name + "\n")
    (tmp_path / "v4l-subdev0").mkdir()
    expected = [("/dev/video0", "Nought"), ("/dev/video2", "Two"), ("/dev/video10", "Ten")]
    assert v4l2.video_nodes(tmp_path) == expected
    assert v4l2.video_nodes(tmp_path / "none") == []


def test_a_device_that_cannot_be_asked() -> None:
    assert v4l2.query("/dev/video-none") is None
    assert v4l2.query("/dev/null") is None
