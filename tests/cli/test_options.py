import contextlib
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.cli.options import TYPES, build_parser, read_config, settings_from
from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.settings import OPTION_NAMES, Settings


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def sentence_of(arguments: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        settings_from(arguments)
    assert caught.value.exit_code == EXIT_USAGE
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_every_setting_is_an_option_in_the_help_with_its_text():
    text = " ".join(build_parser().format_help().split())
    for name in OPTION_NAMES:
        assert f"--{name.replace('_', '-')}" in text
    for option in Settings.__dataclass_fields__.values():
        assert " ".join(option.metadata["help"].split()) in text
    assert "doctor" in text
    assert "exit codes" in text


def test_defaults_are_those_of_the_settings():
    assert settings_from(["--demo"]) == Settings(demo=True)


def test_every_kind_of_value():
    found = settings_from(
        ["-v", "~/a.mp4", "--every-frame", "-t", "2.5", "--height", "1.75", "-n", "2", "--camera-pitch", "-5",
         "--detector", "lite", "-p", "off", "-o", "out", "--headless", "--device", "cpu"]
    )  # fmt: skip
    assert found == Settings(
        video=Path.home() / "a.mp4",
        every_frame=True,
        duration=2.5,
        height=1.75,
        max_people=2,
        camera_pitch=-5.0,
        detector="lite",
        publish="off",
        record=Path("out"),
        headless=True,
        device="cpu",
    )


@pytest.mark.parametrize("option", ["--help", "-h", "--version", "-V"])
def test_help_and_version_end_well(option, capsys):
    with pytest.raises(SystemExit) as caught:
        settings_from([option])
    assert caught.value.code == 0
    assert "biopose-live" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["One source is needed"]),
        (["--demmo"], ["--demmo", "did you mean --demo?"]),
        (["--detectr=full", "--demo"], ["--detectr=full", "did you mean --detector?"]),
        (["--dem"], ["--dem", "--demo"]),  # no silent abbreviations
        (["--zzzzz"], ["--zzzzz", "--help"]),
        (["--demo", "clip.mp4"], ["clip.mp4"]),
        (["--fov", "wide", "--demo"], ["--fov", "'wide'"]),
        (["--max-people", "1.5", "--demo"], ["--max-people", "'1.5'"]),
        (["--detector", "huge", "--demo"], ["--detector", "huge", "heavy"]),
        (["--camera"], ["--camera", "expected one argument"]),
        (["--height", "nan", "--demo"], ["--height"]),
        (["--loop", "--camera", "0"], ["--loop", "--video or --demo"]),
        (["--loop", "--demo", "--every-frame"], ["--loop"]),
        (["--replay", "take", "--record", "out"], ["--replay", "--record"]),
        (["--record-video", "--demo", "--view", "off"], ["--record-video", "--record"]),
        (["--demo", "--network", "n.safetensors", "--image", "off"], ["--network", "--image is off"]),
        (["--demo", "--device", "cuda"], ["--device cuda is for the network of --network"]),
        (["--demo", "--engine", "eager"], ["--engine eager is for the network of --network"]),
        (["--demo", "--engine", "fast"], ["--engine", "cuda-graph"]),
        (["--demo", "--network", "n", "--device", "cpu", "--engine", "tensorrt"], ["--engine tensorrt needs a GPU"]),
    ],
)
def test_every_mistake_on_the_command_line_is_one_sentence(arguments, words):
    sentence = sentence_of(arguments)
    assert all(word in sentence for word in words), sentence


def test_a_config_file_sets_any_option(config, tmp_path):
    path = config(
        """
        video = "clips/a.mp4"
        every_frame = true
        duration = 3
        max_people = 2
        detector = "heavy"
        record = "/abs/out"
        publish = "tcp://127.0.0.1:6000"
        """
    )
    assert settings_from(["--config", str(path)]) == Settings(
        video=tmp_path / "clips" / "a.mp4",
        every_frame=True,
        duration=3.0,
        max_people=2,
        detector="heavy",
        record=Path("/abs/out"),
        publish="tcp://127.0.0.1:6000",
        config=path,
    )


def test_a_camera_may_be_a_number_in_the_file(config):
    assert settings_from(["--config", str(config("camera = 2"))]).camera == "2"


def test_the_command_line_goes_before_the_file(config):
    path = str(config('demo = true\nmax_people = 3\nheadless = true\npublish = "off"'))
    found = settings_from(["--config", path, "--max-people", "2", "--no-headless"])
    assert (found.max_people, found.headless, found.publish, found.demo) == (2, False, "off", True)


def test_a_source_on_the_command_line_replaces_the_files(config):
    found = settings_from(["--config", str(config("demo = true")), "--camera", "0"])
    assert (found.camera, found.demo) == ("0", False)


def test_a_view_on_the_command_line_replaces_the_files(config):
    found = settings_from(["--config", str(config('demo = true\nintrinsics = "c.toml"')), "--fov", "70"])
    assert (found.fov, found.intrinsics) == (70.0, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_peple = 2", ["'max_peple'", "did you mean max_people?"]),
        ("max-people = 2", ["'max-people'", "did you mean max_people?"]),
        ("qqqqqq = 2", ["'qqqqqq'", "known names are camera, video"]),
        ('config = "other.toml"', ["'config'"]),
        ("[source]\ndemo = true", ["'source'"]),
        ('max_people = "2"', ["max_people", "'2'", "a whole number"]),
        ("max_people = 2.0", ["max_people", "2.0", "a whole number"]),
        ("max_people = true", ["max_people", "true", "a whole number"]),
        ('height = "tall"', ["height", "a number"]),
        ("height = true", ["height", "a number"]),
        ("demo = 1", ["demo", "true or false"]),
        ('demo = "yes"', ["demo", "true or false"]),
        ("video = 5", ["video", "a path in quotes"]),
        ("publish = 5556", ["publish", "5556", "text in quotes"]),
        ("camera = true", ["camera", "text in quotes"]),
        ('detector = "huge"', ["detector", "'huge'", "lite, full, heavy"]),
        ("detector = [1]", ["detector", "lite, full, heavy"]),
        ("demo = true\nfov = 1", ["--fov must be between 10 and 170"]),
        ("demo = ", ["is not TOML", "Invalid value"]),
        ("demo = true\ndemo = true", ["is not TOML"]),
        ('height = "' + "x" * 5000 + '"', ["…"]),
    ],
)
def test_every_mistake_in_a_file_is_one_sentence(config, text, words):
    sentence = sentence_of(["--config", str(config(text))])
    assert all(word in sentence for word in words), sentence
    assert len(sentence) < 500


def test_a_missing_file_a_folder_and_bytes_are_one_sentence(tmp_path):
    assert "No such file" in sentence_of(["--config", str(tmp_path / "none.toml")])
    assert "Is a directory" in sentence_of(["--config", str(tmp_path)])
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not TOML" in sentence_of(["--config", str(tmp_path / "bytes.toml")])
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    assert "is not TOML" in sentence_of(["--config", str(tmp_path / "deep.toml")])


TOML_VALUES = st.one_of(
    st.integers(-(2**60), 2**60).map(str),
    st.floats().map(lambda x: repr(x).replace("inf", "inf")),
    st.booleans().map(lambda x: str(x).lower()),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters='\\"\x7f'), max_size=8).map(
        lambda x: f'"{x}"'
    ),
    st.sampled_from(["[]", "[1, 2]", "{a = 1}", "1979-05-27", "07:32:00", '"full"', '"auto"', "1_000", "0x10"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*TYPES, "other"]), TOML_VALUES, max_size=6))
def test_any_toml_gives_settings_of_the_right_types_or_a_sentence(config, entries):
    path = config("\n".join(f"{name} = {value}" for name, value in entries.items()))
    with contextlib.suppress(UserError):
        found = settings_from(["--config", str(path)])
        for name, value in asdict(found).items():
            kind, choices = TYPES[name]
            assert value is None or isinstance(value, kind)
            assert not choices or value in choices


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_are_a_config_or_a_sentence(tmp_path, data):
    path = tmp_path / "fuzz.toml"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        assert set(read_config(path)) <= set(tomllib.loads(data.decode()))


@given(st.lists(st.text(max_size=12) | st.sampled_from([f"--{n.replace('_', '-')}" for n in OPTION_NAMES]), max_size=5))
def test_any_arguments_are_settings_or_a_sentence(arguments):
    with contextlib.suppress(UserError, SystemExit):
        assert settings_from(arguments).validate()
