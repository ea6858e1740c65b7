import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from biopose_live.errors import EXIT_OK, EXIT_USAGE, UserError
from biopose_live.settings import OPTION_NAMES, Settings


def test_every_option_says_what_it_is_for():
    for option in fields(Settings):
        assert option.metadata["help"]
        assert option.metadata["group"]
    assert len(set(OPTION_NAMES)) == len(OPTION_NAMES)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(demo=True),
        Settings(camera="0"),
        Settings(video=Path("x.mp4"), every_frame=True),
        Settings(url="rtsp://host/stream"),
        Settings(demo=True, duration=0.5, height=1.8, mass=72.0, fov=60.0, camera_pitch=-90.0, max_people=16),
        Settings(demo=True, refine_iterations=0),
        Settings(camera="0", skeleton=Path("x.osim"), calibration=Path("p.json"), mass=60.0),
    ],
)
def test_good_settings_pass(settings):
    assert settings.validate() is settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(), ["One source is needed", "none was given", "--demo"]),
        (Settings(demo=True, camera="0"), ["--camera and --demo were given"]),
        (Settings(video=Path("x"), url="y"), ["--video and --url were given"]),
        (Settings(camera="0", every_frame=True), ["--every-frame works on files", "--camera"]),
        (Settings(url="x", every_frame=True), ["--every-frame works on files", "--url"]),
        (Settings(demo=True, duration=-1.0), ["--duration", "at least 0 s", "not -1"]),
        (Settings(demo=True, duration=float("nan")), ["--duration", "not nan"]),
        (Settings(demo=True, height=17.5), ["--height", "between 1.2 and 2.3 m", "not 17.5"]),
        (Settings(demo=True, height=178.0), ["--height is in metres", "for 178 cm give 1.78"]),
        (Settings(demo=True, height=5.9), ["--height", "between 1.2 and 2.3 m", "not 5.9"]),
        (Settings(demo=True, height=float("nan")), ["--height", "not nan"]),
        (Settings(demo=True, height=1.8, calibration=Path("p.json")), ["--height and --calibration", "give one"]),
        (Settings(demo=True, max_people=2, calibration=Path("p.json")), ["--calibration", "--max-people is 2"]),
        (Settings(demo=True, mass=7.0), ["--mass", "between 25 and 300 kg", "not 7"]),
        (Settings(demo=True, height=0.0), ["--height", "not 0"]),
        (Settings(demo=True, fov=5.0), ["--fov", "between 10 and 170 degrees", "not 5"]),
        (Settings(demo=True, fov=float("inf")), ["--fov", "not inf"]),
        (Settings(demo=True, camera_pitch=91.0), ["--camera-pitch", "between -90 and 90 degrees", "not 91"]),
        (Settings(demo=True, max_people=0), ["--max-people", "between 1 and 16", "not 0"]),
        (Settings(demo=True, max_people=17), ["--max-people", "not 17"]),
        (Settings(demo=True, refine_iterations=-1), ["--refine-iterations", "between 0 and 100", "not -1"]),
        (Settings(demo=True, fov=60.0, intrinsics=Path("c.toml")), ["--fov and --intrinsics", "give one"]),
    ],
)
def test_every_bad_setting_is_one_sentence(settings, words):
    with pytest.raises(UserError) as caught:
        settings.validate()
    sentence = str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_user_error_crosses_a_process_boundary_with_its_exit_code():
    error = pickle.loads(pickle.dumps(UserError("What to do.", 5)))
    assert (str(error), error.exit_code) == ("What to do.", 5)
    assert UserError("x").exit_code != EXIT_OK
