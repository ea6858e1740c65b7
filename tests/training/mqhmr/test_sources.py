"""Datasets in the field's layouts: what is read, how it is shared out, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.mqhmr.keypoints44 import FLIP, KEYPOINTS
from biopose_live.training.mqhmr.npz_source import NpzSource
from biopose_live.training.mqhmr.sources import read_sources
from biopose_live.training.mqhmr.tar_source import TarSource, read_people


def rng():
    return np.random.default_rng(0)


def same(labels, expected):
    np.testing.assert_allclose(labels.keypoints_2d, expected["keypoints_2d"])
    np.testing.assert_allclose(labels.keypoints_3d, expected["keypoints_3d"])
    np.testing.assert_allclose(labels.theta.ravel(), expected["body_pose"])
    np.testing.assert_allclose(labels.betas, expected["betas"])
    np.testing.assert_allclose(labels.box_centre, expected["center"])
    np.testing.assert_allclose(labels.box_size, 200 * expected["scale"])
    assert labels.has_pose
    assert labels.has_betas


@pytest.mark.parametrize("name", ["h36m-train", "coco-train-2014", "mpi-inf-train", "mpii-train"])
def test_tars(name, tmp_path, make_person, make_tar, make_picture):
    people = [[make_person(0), make_person(1)], [make_person(2)]]
    source = TarSource(name, [make_tar(tmp_path / name / "000000.tar", people)])
    records = list(source.records(0, 1, rng()))
    assert len(records) == 3
    for record, labels in zip(records, [*people[0], *people[1]], strict=True):
        same(record.labels, labels)
    np.testing.assert_array_equal(records[0].image, make_picture(people[0][0]))
    assert "000000_000000, person 1" in records[1].name


def test_npz_and_pictures(tmp_path, make_person, make_npz, make_picture):
    people = [make_person(i) for i in range(3)]
    source = NpzSource("h36m", *make_npz(tmp_path, people))
    assert len(source) == 3
    for i, labels in enumerate(people):
        record = source.record(i)
        same(record.labels, labels)
        np.testing.assert_array_equal(record.image, make_picture(labels))


def test_shards_share_everything_out_once(tmp_path, make_person, make_tar, make_npz):
    people = [make_person(i) for i in range(6)]
    tars = [make_tar(tmp_path / f"{i}.tar", [[labels] for labels in people[i::2]]) for i in range(2)]
    for source in (
        TarSource("two", tars), TarSource("one", [make_tar(tmp_path / "x.tar", [[p] for p in people])]),
        NpzSource("npz", *make_npz(tmp_path, people)),
    ):  # fmt: skip
        for shards in (1, 2, 3):
            found = [r.labels.betas[0] for s in range(shards) for r in source.records(s, shards, rng())]
            assert sorted(found) == sorted(float(labels["betas"][0]) for labels in people), (source.name, shards)


def test_what_a_dataset_lacks_is_marked_so(tmp_path, make_person, make_tar):
    labels = make_person(0)
    for key in ("betas", "has_betas", "keypoints_3d"):
        del labels[key]
    labels["has_body_pose"] = 0
    (record,) = TarSource("coco", [make_tar(tmp_path / "0.tar", [[labels]])]).records(0, 1, rng())
    assert not record.labels.has_pose
    assert not record.labels.has_betas
    assert not record.labels.keypoints_3d.any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.pop("keypoints_2d"), "has no keypoints_2d"),
        (lambda p: p.pop("scale"), "has no scale"),
        (
            lambda p: p.update(keypoints_2d=np.zeros((17, 3))),
            r"keypoints_2d must have shape \(44, 3\), found \(17, 3\)",
        ),
        (lambda p: p.update(scale=np.array([0.0, 1.0])), "scale must be one or two numbers above 0"),
        (lambda p: p.update(center=np.array([np.nan, 1.0])), "center holds numbers that are not finite"),
        (lambda p: p.update(body_pose="none"), "body_pose must be numbers, found str"),
        (lambda p: p.update(betas=np.zeros(300)), r"betas must have shape \(10,\)"),
    ],
)
def test_malformed_labels_are_refused_in_one_sentence(tmp_path, make_person, make_tar, change, told):
    labels = make_person(0)
    change(labels)
    source = TarSource("h36m", [make_tar(tmp_path / "0.tar", [[labels]])])
    with pytest.raises(UserError, match=told) as caught:
        list(source.records(0, 1, rng()))
    assert caught.value.exit_code == EXIT_SOURCE
    assert "\n" not in str(caught.value)


def test_malformed_tars(tmp_path, make_person, png):
    path = tmp_path / "0.tar"
    source = TarSource("h36m", [path])

    def refused(told):
        with pytest.raises(UserError, match=told):
            list(source.records(0, 1, rng()))

    refused("There is no dataset file")
    path.write_bytes(b"no tar file" * 100)
    refused("no readable tar file")
    with tarfile.open(path, "w") as archive:
        _add(archive, "a.jpg", png(np.zeros((4, 4, 3), np.uint8)))
    refused("a has no data.pyd")
    with tarfile.open(path, "w") as archive:
        _add(archive, "a.data.pyd", pickle.dumps([]))
    refused("a has no picture")
    with tarfile.open(path, "w") as archive:
        _add(archive, "a.jpg", b"no picture")
        _add(archive, "a.data.pyd", pickle.dumps([make_person(0)]))
    refused("is no picture that can be read")
    with pytest.raises(UserError, match="has no tar files"):
        TarSource("none", [])


def _add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_in_labels_runs(tmp_path, make_person):
    for content in ([{**make_person(0), "extra_info": Runs(tmp_path / "ran")}], Runs(tmp_path / "ran")):
        with pytest.raises(UserError, match=r"asks for .*mkdir"):
            read_people(pickle.dumps(content), "x.data.pyd")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_labels_give_people_or_one_sentence(make_person, data):
    whole = pickle.dumps([{k: v for k, v in make_person(0).items() if k in ("betas", "scale", "extra_info")}])
    at = data.draw(st.integers(0, len(whole) - 1))
    content = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    content = content[: data.draw(st.integers(at, len(whole)))]
    told, people = "", []
    try:
        people = read_people(content, "x.data.pyd")
    except UserError as error:
        told = str(error)
    assert bool(told) != bool(people)
    assert "\n" not in told
    assert all(isinstance(person, dict) for person in people)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"imgname": None}, "has no imgname"),
        ({"center": np.zeros((3, 2))}, "center has 3 rows, imgname 2"),
        ({"imgname": np.array([1, 2])}, "imgname must be a list of file names"),
        ({"imgname": np.array(["a", None], dtype=object)}, "no readable .npz of plain arrays"),
        ({"body_keypoints_2d": np.zeros((2, 25, 2))}, r"body_keypoints_2d must be \(2, 25, 3\)"),
        ({"body_keypoints_2d": None, "extra_keypoints_2d": None}, "neither body_keypoints_2d"),
        ({"imgname": np.array(["../train.npz", "../train.npz"])}, "lies outside of"),
        ({"imgname": np.array(["none.png", "none.png"])}, "cannot be read"),
    ],
)
def test_malformed_npz_files_are_refused(tmp_path, make_person, make_npz, change, told):
    path, images = make_npz(tmp_path, [make_person(0), make_person(1)])
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    np.savez(path, **{k: v for k, v in {**arrays, **change}.items() if v is not None})
    with pytest.raises(UserError, match=told) as caught:
        NpzSource("h36m", path, images).record(0)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz(tmp_path):
    with pytest.raises(UserError, match="There is no dataset file"):
        NpzSource("h36m", tmp_path / "none.npz", tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="no readable"):
        NpzSource("h36m", tmp_path / "bad.npz", tmp_path)


def test_the_mirrors_permutation_is_the_fields():
    """4D-Humans' and SPIN's published order."""
    assert FLIP[:25] == (
        0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21,
    )  # fmt: skip
    assert tuple(k - 25 for k in FLIP[25:]) == (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18)
    assert len(KEYPOINTS) == 44


def test_the_list_of_datasets(tmp_path, make_person, make_tar, make_npz):
    make_tar(tmp_path / "tars" / "0.tar", [[make_person(0)]])
    make_npz(tmp_path, [make_person(1)])
    listing = tmp_path / "data.toml"
    listing.write_text(
        '[[source]]\nname = "a"\ntars = "tars/*.tar"\nweight = 0.25\nin_view = true\n'
        '[[source]]\nname = "b"\nnpz = "train.npz"\nimages = "images"\n'
    )
    (first, weight), (second, one) = read_sources(listing)
    assert (first.name, weight, second.name, one) == ("a", 0.25, "b", 1.0)
    (record,) = first.records(0, 1, rng())
    assert record.labels.in_view
    (record,) = second.records(0, 1, rng())
    assert not record.labels.in_view


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[source]]\nname = 1", "no list of datasets"),
        ("nonsense", "no list of datasets"),
        ('[[source]]\nname = "a"', "a must have one of tars, npz and assets, found none"),
        ('[[source]]\nname = "a"\ntars = "x"\nnpz = "y"', "found tars and npz"),
        ('[[source]]\nname = "a"\ntars = "x/*.tar"', "a has no tar files"),
        ('[[source]]\nname = "a"\nnpz = "y"', "a needs images"),
        ('[[source]]\nname = "a"\nassets = "y"', "a needs poses"),
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, text, told):
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(UserError, match=told):
        read_sources(tmp_path / "data.toml")
