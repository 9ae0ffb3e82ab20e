"""L4: animations as files and in TensorBoard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from physworld.evaluation import FRAMES_PER_SECOND
from physworld.render import gif_bytes, write_gif, write_mp4


def write_animation(path: Path, frames: np.ndarray, fps: float) -> Path:
    """GIF or MP4, by suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return (write_mp4 if path.suffix == ".mp4" else write_gif)(path, frames, fps)


def add_gif(logger: TensorBoardLogger, tag: str, frames: np.ndarray, step: int) -> None:
    """An animated GIF as an image summary: `add_video` drops the video without a word where moviepy is missing."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    _, height, width, _ = frames.shape
    picture = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=gif_bytes(frames, FRAMES_PER_SECOND)
    )
    logger.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)
