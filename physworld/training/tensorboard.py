"""TensorBoard: animations as image summaries."""

from __future__ import annotations

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from physworld.io.images import gif_bytes


def add_gif(logger: TensorBoardLogger, tag: str, frames: np.ndarray, step: int, *, fps: float) -> None:
    """An animated GIF of uint8 (T, H, W, 3) as an image summary: `add_video` drops the video without a word where
    moviepy is missing."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    _, height, width, _ = frames.shape
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif_bytes(frames, fps))
    logger.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)
