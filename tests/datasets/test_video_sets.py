"""Videos: clips, UCF-11 and HMDB-51, from small files made here."""

import numpy as np
import pytest

from attnlib import datasets
from attnlib.datasets import clips, hmdb51, store, ucf11

av = pytest.importorskip("av", reason="reading videos needs PyAV")


def film(path, levels, rate=25, side=32, codec="mpeg4"):
    """Write a video whose frame k is grey of level levels[k]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 2 * side, side, "yuv420p"
        for level in levels:
            grey = np.full((side, 2 * side, 3), level, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def levels(clip):
    return clip.reshape(len(clip), -1).mean(axis=1)


RAMP = np.arange(20, 220, 10)  # 20 frames


@pytest.fixture(scope="module", params=["avi", "mpg"])
def ramp(request, tmp_path_factory):
    codec = {"avi": "mpeg4", "mpg": "mpeg1video"}[request.param]
    path = tmp_path_factory.mktemp("ramp") / f"ramp.{request.param}"
    return film(path, RAMP, codec=codec)


def test_times_of_frames(ramp):
    np.testing.assert_allclose(
        clips.frame_times(ramp), np.arange(20) / 25, atol=2e-3
    )


@pytest.mark.parametrize(
    ("frames", "rate", "start", "wanted"),
    [
        (4, 25, 0.0, [0, 1, 2, 3]),
        (3, 12.5, 0.2, [5, 7, 9]),
        # Twice as fast as the video: every frame is shown twice.
        (4, 50, 0.0, [0, 0, 1, 1]),
        # 19 / 25 s long; 5 frames at 25 a second start at 0.3 s.
        (5, 25, None, [7, 8, 9, 10, 11]),
        # Longer than the video: it stays at its last frame.
        (6, 5, 0.0, [0, 5, 10, 15, 19, 19]),
        (30, 25, None, [*range(20), *[19] * 10]),
    ],
)
def test_a_clip_shows_what_is_shown_then(ramp, frames, rate, start, wanted):
    clip = clips.read_clip(ramp, frames, rate, side=16, start=start)
    assert clip.shape == (frames, 16, 16, 3) and clip.dtype == np.uint8
    np.testing.assert_allclose(levels(clip), RAMP[wanted], atol=4)


def test_clips_are_read_when_they_are_asked_for(ramp, tmp_path):
    broken = tmp_path / "absent.avi"
    several = clips.Clips([ramp, broken, ramp], 4, 25, 16)
    assert len(several) == 3 and len(several[1:]) == 2
    assert levels(several[-1]).shape == (4,)
    assert (several[:1][0] == several[0]).all()
    with pytest.raises(store.DatasetCorrupt, match=r"absent\.avi"):
        several[1]
    with pytest.raises(IndexError):
        several[3]


def test_what_is_no_video_is_named(tmp_path, ramp):
    text = tmp_path / "text.avi"
    text.write_text("no video " * 100)
    empty = tmp_path / "empty.mpg"
    empty.write_bytes(b"")
    for path in (text, empty):
        with pytest.raises(store.DatasetCorrupt, match=f"{path.name} is not"):
            clips.read_clip(path)


def test_a_video_without_a_picture_is_named(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), "s16", "mono"
        )
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(store.DatasetCorrupt, match="has no video in it"):
        clips.read_clip(path)


def test_one_frame_shows_no_motion(tmp_path):
    path = film(tmp_path / "still.avi", [100])
    with pytest.raises(store.DatasetCorrupt, match="1 frame.*no motion"):
        clips.read_clip(path)


def test_a_video_cut_short_is_named(tmp_path):
    path = film(tmp_path / "long.avi", np.arange(40) * 5)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(store.DatasetCorrupt, match=r"long\.avi"):
        clips.read_clip(path)


def test_without_pyav_the_error_says_what_to_install(monkeypatch, ramp):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match="pip install 'av>="):
        clips.read_clip(ramp)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 1}, "frames: expected a whole number, at least 2"),
        ({"rate": 0}, "rate: expected a number above 0"),
        ({"rate": True}, "rate: expected a number above 0"),
        ({"side": 8}, "side: expected a whole number, 16 to 1024"),
    ],
)
def test_bad_options_get_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        clips.Clips([], **options)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def youtube(data):
    """UCF-11 with a video of each of three groups for two actions."""
    folder = data / "ucf11" / "UCF11_updated_mpg"
    for action in ucf11.ACTIONS:
        (folder / action / "Annotation").mkdir(parents=True)
    for action, short, level in (("biking", "biking", 60), ("swing", "s", 90)):
        for group in (1, 14, 20):
            name = f"v_{short}_{group:02d}"
            film(
                folder / action / name / f"{name}_01.mpg",
                [level + group] * 12,
                codec="mpeg1video",
            )
    return folder


def test_ucf11_by_group(youtube):
    found = {
        split: datasets.load("ucf11", split, frames=3, side=16)
        for split in ("train", "validation", "test")
    }
    for split, group in (("train", 1), ("validation", 14), ("test", 20)):
        data = found[split]
        assert data["label"].tolist() == [1, 6]
        assert data["group"].tolist() == [group] * 2
        assert data["name"][0] == f"v_biking_{group:02d}_01"
        for clip, level in zip(data["videos"], (60, 90), strict=True):
            assert clip.shape == (3, 16, 16, 3)
            np.testing.assert_allclose(levels(clip), level + group, atol=4)
    first = datasets.digest("ucf11")
    assert first == datasets.digest("ucf11", frames=30)
    assert first != datasets.digest("ucf11", frames=3)
    next(youtube.rglob("*.mpg")).unlink()
    assert first != datasets.digest("ucf11")


def test_ucf11_labels_outside_of_the_classes(youtube):
    (youtube / "cooking").mkdir()
    with pytest.raises(store.DatasetCorrupt, match="cooking, which is no"):
        datasets.load("ucf11")
    (youtube / "cooking").rmdir()
    (youtube / "walking" / "Annotation").rmdir()
    (youtube / "walking").rmdir()
    with pytest.raises(store.DatasetCorrupt, match="without walking"):
        datasets.load("ucf11")


def test_ucf11_without_a_video(youtube):
    for path in youtube.rglob("v_*_20_01.mpg"):
        path.unlink()
    assert len(datasets.load("ucf11", "train")["videos"]) == 2
    with pytest.raises(
        store.DatasetCorrupt, match="no video of the test split, groups 16 to"
    ):
        datasets.load("ucf11", "test")
    for path in youtube.rglob("*.mpg"):
        path.unlink()
    with pytest.raises(store.DatasetCorrupt, match=r"no video.*v_biking_01_01"):
        datasets.load("ucf11", "train")


@pytest.mark.parametrize("name", ["biking_01", "v_biking_26_01", "v_01"])
def test_ucf11_names_that_are_none(name):
    with pytest.raises(store.DatasetCorrupt, match="v_biking_07_03"):
        ucf11.group_of(name)


@pytest.fixture
def films(data):
    """HMDB-51 with ten videos of two actions, and one split file each."""
    folder = data / "hmdb51"
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for action, level in (("run", 40), ("wave", 120)):
        lines = []
        for i in range(10):
            film(folder / "hmdb51_org" / action / f"{i}.avi", [level + i] * 4)
            lines.append(f"{i}.avi {1 if i < 7 else 2 if i < 9 else 0} ")
        text = "\n".join(lines) + "\n"
        (lists / f"{action}_test_split1.txt").write_text(text)
    return folder


def test_hmdb51_by_its_split_files(films):
    names = {"train": range(6), "validation": [6], "test": [7, 8]}
    for split, numbers in names.items():
        found = datasets.load("hmdb51", split, frames=2, side=16)
        assert found["actions"] == ["run", "wave"]
        assert found["name"] == [str(n) for n in numbers] * 2
        assert np.bincount(found["label"]).tolist() == [len(numbers)] * 2
        np.testing.assert_allclose(
            levels(found["videos"][-1]), 120 + numbers[-1], atol=4
        )


def test_hmdb51_what_is_missing_is_named(films):
    with pytest.raises(store.DatasetCorrupt, match="_test_split2"):
        datasets.load("hmdb51", fold=2)
    with pytest.raises(ValueError, match="fold: .* 1 to 3"):
        datasets.load("hmdb51", fold=4)
    (films / "hmdb51_org" / "run" / "8.avi").unlink()
    with pytest.raises(store.DatasetCorrupt, match=r"1 of the 4.*run/8\.avi"):
        datasets.load("hmdb51", "test")
    with pytest.raises(store.DatasetCorrupt, match="'x 3'"):
        hmdb51.read_split(["x 3"], "list")


@pytest.mark.parametrize("text", ["", "0.avi 0 \n1.avi 0 \n"])
def test_hmdb51_without_a_video(films, text):
    for path in (films / "testTrainMulti_7030_splits").iterdir():
        path.write_text(text)
    for split in ("train", "validation", "test"):
        with pytest.raises(
            store.DatasetCorrupt, match=f"name no video of the {split} split"
        ):
            datasets.load("hmdb51", split)


@pytest.mark.parametrize("name", ["ucf11", "hmdb51"])
def test_without_the_folders_the_error_says_what_to_do(data, name, capsys):
    for call in (datasets.load, datasets.fetch, datasets.digest):
        with pytest.raises(store.DatasetUnavailable) as error:
            call(name)
        said = str(error.value)
        assert "ATTNLIB_DATA" in said and "https://" in said
        assert "not found in" in said
    assert not datasets.info(name)["present"]
    assert not datasets.info(name)["embedded"]


def test_with_the_folders_the_list_says_where(films, data):
    assert datasets.info("hmdb51")["present"]
    assert datasets.fetch("hmdb51")[0] == films / "hmdb51_org"
    assert datasets.verify("hmdb51") == []
