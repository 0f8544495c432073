"""Clips of video files, decoded when they are asked for.

The package PyAV (`av`) reads the files; only this module needs it.
"""

import bisect
import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attnlib.datasets import store
from attnlib.datasets.checks import whole_number

# Packets whose times are looked at to find the middle: hours of video.
_MOST_PACKETS = 10**6


def _av():
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "expected the package av (PyAV), which reads videos. Received: "
            "no such package. Install it: pip install 'av>=16,<19', or "
            "'attnlib[video]'"
        ) from error
    return av


@contextlib.contextmanager
def _opened(path):
    """Open a video; what goes wrong in it names the file."""
    av = _av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise store.DatasetCorrupt(f"{path} has no video in it")
            yield container, container.streams.video[0]
    # Of PyAV's errors some are OSError, all are FFmpegError.
    except av.error.FFmpegError as error:
        raise store.DatasetCorrupt(
            f"{path} is not a whole video that can be decoded: {error}. "
            "Replace it with the published file"
        ) from error


def frame_times(path) -> np.ndarray:
    """Return when the frames of a video are shown, without decoding them.

    Args:
        path: A video file.

    Returns:
        float64 (F,), seconds, rising from 0; frames without a time are taken
        for evenly spaced.

    Raises:
        DatasetCorrupt: It is no video, or has a single frame.
        ImportError: There is no PyAV.
    """
    with _opened(path) as (container, stream):
        found = []
        for packet in container.demux(stream):
            # The last packet is an empty one.
            if packet.size:
                known = packet.pts if packet.pts is not None else packet.dts
                found.append(known)
            if len(found) > _MOST_PACKETS:
                raise store.DatasetCorrupt(f"{path} is longer than a clip is")
        rate = stream.average_rate or stream.guessed_rate or 25
        base = stream.time_base
    if len(found) < 2:
        raise store.DatasetCorrupt(
            f"{path} has {len(found)} frame(s): expected at least 2, since a "
            "single one shows no motion. Leave it out or replace it"
        )
    if None in found or base is None or len(set(found)) < len(found):
        return np.arange(len(found)) / float(rate)
    times = np.sort(np.array(found, np.float64)) * float(base)
    return times - times[0]


def read_clip(path, frames=30, rate=30.0, side=224, start=None) -> np.ndarray:
    """Decode a part of a video.

    At times start, start + 1 / rate, ... the frame is taken that is shown
    then, the last one where the video is over. No other frame is converted or
    kept.

    Args:
        path: A video file.
        frames: Number T of frames.
        rate: Frames a second.
        side: Height and width to return; the aspect ratio is not kept.
        start: Seconds from the first frame; None for the part in the middle.

    Returns:
        uint8 (T, side, side, 3), RGB.

    Raises:
        DatasetCorrupt: It is no whole video, or has a single frame.
        ImportError: There is no PyAV.
    """
    times = frame_times(path)
    if start is None:
        start = max(0.0, (times[-1] - (frames - 1) / rate) / 2)
    # Half a tick of tolerance: times are rounded to the container's ticks.
    wanted = [
        max(0, bisect.bisect_right(times, start + k / rate + 1e-4) - 1)
        for k in range(frames)
    ]
    clip = np.empty((frames, side, side, 3), np.uint8)
    done = 0
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if done == frames or number > wanted[-1]:
                break
            if number < wanted[done]:
                continue
            picture = frame.reformat(side, side, "rgb24").to_ndarray()
            while done < frames and wanted[done] <= number:
                clip[done] = picture
                done += 1
    if not done:
        raise store.DatasetCorrupt(
            f"{path} ends before {start:.2f} s, where the clip should start: "
            "it is not whole. Replace it with the published file"
        )
    clip[done:] = clip[done - 1]
    return clip


class Clips(Sequence):
    """Clips of many videos, of which one at a time is in memory.

    `clips[i]` decodes clip i anew, `clips[i:j]` is again `Clips`.

    Args:
        paths: Video files.
        frames: Number of frames, at least 2.
        rate: Frames a second, above 0.
        side: Height and width in pixels, 16 to 1024.
        start: As of `read_clip`.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, paths, frames=30, rate=30.0, side=224, start=None):
        self.paths = [Path(path) for path in paths]
        self.frames = whole_number("frames", frames, 2)
        self.side = whole_number("side", side, 16, 1024)
        self.rate = _positive("rate", rate)
        self.start = start

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, slice):
            options = (self.frames, self.rate, self.side, self.start)
            return Clips(self.paths[index], *options)
        return read_clip(
            self.paths[index], self.frames, self.rate, self.side, self.start
        )


def _positive(name, value) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise ValueError(
            f"{name}: expected a number above 0, received {value!r}"
        )
    return float(value)


def files_below(folder) -> list:
    """Return the video files in a folder and below it, by name."""
    kinds = {".avi", ".mpg", ".mpeg", ".mp4", ".mkv", ".webm"}
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in kinds
    )
