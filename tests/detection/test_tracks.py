"""Identities in simulated scenes: walking stick figures of known names, seen with noise, gaps and in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biopose_live.detection.pose_landmarker import RawPerson
from biopose_live.detection.tracks import Tracker, bounding_box, confidence, similarity, torso_colours

WIDTH, HEIGHT, FPS = 1280, 720, 30.0
RED, GREEN, BLUE = (200, 40, 40), (40, 180, 60), (40, 60, 200)


def figure(x: float, t: float, height: float = 400.0, y: float = 360.0, score: float = 0.95) -> RawPerson:
    """A walking person `height` px tall with the hips at (x, y): limbs swing once a second."""
    points = np.zeros((33, 2))
    swing = np.sin(2 * np.pi * t)
    points[0:11] = [0, -0.45]
    for side, sign in ((0, 1), (1, -1)):
        points[11 + side] = [0.09 * sign, -0.3]
        points[13 + side] = [0.11 * sign + 0.06 * sign * swing, -0.14]
        points[15 + side :: 2][:4] = [0.11 * sign + 0.14 * sign * swing, 0.0]
        points[23 + side] = [0.06 * sign, 0.0]
        points[25 + side] = [0.06 * sign - 0.08 * sign * swing, 0.24]
        points[27 + side :: 2] = [0.06 * sign - 0.18 * sign * swing, 0.48]
    keypoints = np.concatenate([points * height + [x, y], np.full((33, 1), score)], axis=1).astype(np.float32)
    world = np.concatenate([points * 1.75, np.zeros((33, 1))], axis=1).astype(np.float32)
    return RawPerson(keypoints, world)


def noisy(person: RawPerson, rng: np.random.Generator, sigma: float = 3.0) -> RawPerson:
    keypoints = person.keypoints.copy()
    keypoints[:, :2] += rng.normal(0, sigma, (33, 2)).astype(np.float32)
    return RawPerson(keypoints, person.world)


def picture(*people: tuple[RawPerson, tuple[int, int, int]]) -> np.ndarray:
    """Grey, with each torso filled in its colour; the later ones stand in front."""
    image = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    for person, colour in people:
        torso = person.keypoints[[11, 12, 23, 24], :2]
        (x0, y0), (x1, y1) = np.clip(torso.min(0), 0, None).astype(int), np.clip(torso.max(0), 0, None).astype(int)
        image[y0 : y1 + 1, x0 : x1 + 1] = colour
    return image


class Scene:
    """Feeds a tracker and remembers which name got which id in which frame."""

    def __init__(self, max_people: int, seed: int = 0, fps: float = FPS) -> None:
        self.tracker = Tracker(max_people)
        self.rng = np.random.default_rng(seed)
        self.fps = fps
        self.frame = 0
        self.seen: dict[str, list[tuple[int, int]]] = {}
        self.counts: list[int] = []

    @property
    def t(self) -> float:
        return self.frame / self.fps

    def step(self, people: dict[str, RawPerson], image: np.ndarray | None = None) -> list[int]:
        order = self.rng.permutation(list(people)) if people else []
        raw = [people[name] for name in order]
        found = self.tracker.update(raw, 100.0 + self.t, WIDTH, HEIGHT, image)
        for person in found:
            name = next(n for n, p in people.items() if p.keypoints is person.keypoints)
            self.seen.setdefault(name, []).append((self.frame, person.id))
        self.counts.append(len(found))
        self.frame += 1
        return [person.id for person in found]

    def ids(self, name: str, since: int = 0) -> set[int]:
        return {i for frame, i in self.seen.get(name, []) if frame >= since}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("coloured", [True, False])
def test_two_people_who_cross_keep_their_ids(seed: int, coloured: bool) -> None:
    scene = Scene(2, seed)
    for _ in range(90):
        a, b = figure(300 + 240 * scene.t, scene.t), figure(1000 - 240 * scene.t, scene.t + 0.37, height=380)
        image = picture((b, BLUE), (a, RED)) if coloured else None
        scene.step({"a": noisy(a, scene.rng), "b": noisy(b, scene.rng)}, image)
    assert len(scene.ids("a")) == len(scene.ids("b")) == 1
    assert scene.ids("a") != scene.ids("b")
    assert len(scene.seen["a"]) > 80
    assert len(scene.seen["b"]) > 80


@pytest.mark.parametrize("seed", range(5))
def test_whoever_is_hidden_while_crossing_comes_back_as_themselves(seed: int) -> None:
    scene = Scene(2, seed)
    for _ in range(100):
        a, b = figure(300 + 220 * scene.t, scene.t), figure(1000 - 220 * scene.t, scene.t + 0.4)
        people = {"a": noisy(a, scene.rng), "b": noisy(b, scene.rng)}
        if abs(a.keypoints[23, 0] - b.keypoints[23, 0]) < 80:  # b is behind a: 12 frames
            del people["b"]
        scene.step(people, picture((b, GREEN), (a, RED)))
    assert len(scene.ids("a")) == len(scene.ids("b")) == 1
    assert scene.ids("a") != scene.ids("b")


def test_when_the_hidden_one_is_detected_twice_on_the_front_person_ids_hold() -> None:
    scene = Scene(2, 3)
    for _ in range(100):
        a, b = figure(300 + 220 * scene.t, scene.t), figure(1000 - 220 * scene.t, scene.t + 0.4)
        hidden = abs(a.keypoints[23, 0] - b.keypoints[23, 0]) < 80
        image = picture((b, GREEN), (a, RED))
        if hidden:
            scene.step(
                {"a": noisy(a, scene.rng), "echo": noisy(figure(300 + 220 * scene.t, scene.t, score=0.9), scene.rng)},
                image,
            )
        else:
            scene.step({"a": noisy(a, scene.rng), "b": noisy(b, scene.rng)}, image)
    assert len(scene.ids("a")) == len(scene.ids("b")) == 1
    assert scene.ids("a") != scene.ids("b")
    assert not scene.ids("echo")


@pytest.mark.parametrize("seed", range(5))
def test_an_occlusion_of_800_ms_keeps_the_id(seed: int) -> None:
    scene = Scene(1, seed)
    for k in range(80):
        person = noisy(figure(200 + 200 * scene.t, scene.t), scene.rng)
        scene.step({} if 30 <= k < 54 else {"a": person})
    assert scene.ids("a") == {0}
    assert len(scene.seen["a"]) == 80 - 24  # seen again in the very frame of the return


def test_an_absence_over_a_second_gives_a_new_id() -> None:
    scene = Scene(1)
    for k in range(100):
        scene.step({} if 30 <= k < 65 else {"a": figure(600, scene.t)})
    assert scene.ids("a") == {0, 1}
    assert scene.ids("a", since=65) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_random_dropouts_keep_the_ids(seed: int) -> None:
    scene = Scene(3, seed)
    for _ in range(150):
        people = {
            "a": figure(250 + 40 * np.sin(scene.t), scene.t),
            "b": figure(640 + 60 * scene.t, scene.t + 0.3),
            "c": figure(1100 - 50 * scene.t, scene.t + 0.6, height=340),
        }
        scene.step({n: noisy(p, scene.rng) for n, p in people.items() if scene.rng.uniform() > 0.3})
    assert [len(scene.ids(n)) for n in "abc"] == [1, 1, 1]
    assert len(scene.ids("a") | scene.ids("b") | scene.ids("c")) == 3


def test_the_first_person_is_there_at_once_and_others_after_three_frames() -> None:
    scene = Scene(2)
    counts = [scene.step({"a": figure(300, 0), "b": figure(900, 0, height=300)}) for _ in range(4)]
    assert counts == [[0], [0], [0, 1], [0, 1]]
    assert scene.ids("a") == {0}  # the larger one first


def test_a_detection_of_two_frames_becomes_nobody() -> None:
    scene = Scene(2)
    for k in range(20):
        people = {"a": figure(300, scene.t)}
        if k in (5, 6, 14, 15):
            people["ghost"] = figure(900, scene.t)
        scene.step(people)
    assert not scene.ids("ghost")


def test_a_wrong_detection_at_the_start_hardly_delays_the_real_person() -> None:
    scene = Scene(1)
    for k in range(20):
        scene.step({"ghost": figure(200, scene.t)} if k == 0 else {"a": figure(900, scene.t)})
    assert len(scene.seen["ghost"]) == 1
    assert scene.seen["a"][0][0] <= 8


def test_duplicates_of_one_person_are_one_person() -> None:
    scene = Scene(3)
    for _ in range(30):
        best = figure(500, scene.t)
        echo = noisy(figure(506, scene.t, score=0.8), scene.rng, 4.0)
        scene.step({"a": best, "echo": echo})
    assert scene.ids("a") == {0}
    assert not scene.ids("echo")
    assert set(scene.counts) == {1}


def test_a_poor_echo_of_somebody_known_becomes_nobody() -> None:
    scene = Scene(2)
    for k in range(30):
        people = {"a": figure(500, scene.t)}
        if k > 5:
            people["echo"] = noisy(figure(530, scene.t + 0.1, height=360), scene.rng, 12.0)
        scene.step(people)
    assert scene.ids("a") == {0}
    assert not scene.ids("echo")


def test_more_people_than_asked_for_do_not_push_anybody_out() -> None:
    scene = Scene(2, 1)
    for k in range(60):
        people = {"a": figure(200, scene.t, height=260), "b": figure(500, scene.t + 0.2, height=280)}
        if k >= 20:  # larger than both
            people["c"] = figure(800, scene.t, height=420)
            people["d"] = figure(1100, scene.t, height=430)
        scene.step({n: noisy(p, scene.rng) for n, p in people.items()})
    assert max(scene.counts) == 2
    assert len(scene.ids("a")) == len(scene.ids("b")) == 1
    assert not scene.ids("c") | scene.ids("d")


def test_a_free_place_goes_to_the_larger_of_those_who_wait() -> None:
    scene = Scene(1)
    for k in range(80):
        people = {"small": figure(700, scene.t, height=250), "large": figure(1000, scene.t, height=420)}
        if k < 20:
            people["a"] = figure(250, scene.t, height=440)
        scene.step(people)
    assert scene.ids("a") == {0}
    assert scene.ids("large") == {1}
    assert not scene.ids("small")


def test_ten_frames_a_second_and_a_fast_walk_keep_the_id() -> None:
    scene = Scene(1, fps=10.0)
    for _ in range(20):
        scene.step({"a": figure(100 + 500 * scene.t, scene.t)})
    assert scene.ids("a") == {0}
    assert len(scene.seen["a"]) == 20


@pytest.mark.parametrize("fps", [1.5, 3.0])
def test_a_few_frames_a_second_keep_the_id(fps: float) -> None:
    scene = Scene(1, fps=fps)
    for _ in range(20):
        scene.step({"a": figure(300 + 60 * scene.t, scene.t)})
    assert scene.ids("a") == {0}
    assert len(scene.seen["a"]) == 20


@given(data=st.data(), count=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_the_order_of_detections_does_not_matter(data: st.DataObject, count: int) -> None:
    rng = np.random.default_rng(count)
    one, other = Tracker(count), Tracker(count)
    for k in range(8):
        t = k / FPS
        people = [noisy(figure(150 + 190 * i + 100 * t, t + 0.1 * i), rng) for i in range(count)]
        shuffled = [people[i] for i in data.draw(st.permutations(range(count)))]
        first, second = one.update(people, t, WIDTH, HEIGHT), other.update(shuffled, t, WIDTH, HEIGHT)
        assert [p.id for p in first] == [p.id for p in second]
        for p, q in zip(first, second, strict=True):
            np.testing.assert_array_equal(p.keypoints, q.keypoints)
    assert len(first) == count


def test_people_outside_the_image_or_not_finite_are_left_out() -> None:
    broken = figure(600, 0)
    broken.keypoints[5, 0] = np.nan
    assert Tracker(2).update([figure(-2000, 0), broken], 0.0, WIDTH, HEIGHT) == []


def test_the_box_holds_the_visible_keypoints_with_a_margin_and_stays_in_the_image() -> None:
    keypoints = figure(100, 0).keypoints
    keypoints[16] = (-500, -500, 0.1)  # guessed, not seen
    x, y, w, h = bounding_box(keypoints, WIDTH, HEIGHT)
    seen = keypoints[keypoints[:, 2] > 0.5, :2]
    assert x >= 0
    assert y >= 0
    assert x + w <= WIDTH
    assert y + h <= HEIGHT
    assert (seen >= (x, y)).all()
    assert (seen <= (x + w, y + h)).all()
    assert h < 1.3 * np.ptp(seen[:, 1])


def test_confidence_is_the_limbs_mean_visibility() -> None:
    keypoints = figure(100, 0).keypoints
    keypoints[:, 2] = 0.25
    keypoints[[25, 26, 27, 28], 2] = 1.0
    assert confidence(keypoints) == pytest.approx(0.5)


def test_similarity_is_one_for_the_same_and_falls_with_distance() -> None:
    a = figure(500, 0).keypoints
    values = [similarity(a, figure(500 + d, 0).keypoints, 0.1) for d in (0, 10, 40, 400)]
    assert values[0] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.01


def test_torso_colours_tell_shirts_apart_and_know_when_there_is_no_torso() -> None:
    person = figure(600, 0)
    red, green = (torso_colours(picture((person, c)), person.keypoints) for c in (RED, GREEN))
    assert red is not None
    assert green is not None
    assert red.sum() == pytest.approx(1.0)
    assert float(np.sqrt(red * green).sum()) < 0.1
    assert torso_colours(picture(), figure(-3000, 0).keypoints) is None
