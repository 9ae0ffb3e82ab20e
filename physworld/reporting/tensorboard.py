"""What TensorBoard shows that its writer has no word for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


def add_picture(writer: SummaryWriter, tag: str, content: bytes, step: int) -> None:
    """A GIF or PNG as an image summary: `add_video` drops a video without a word where moviepy is missing."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = Image.open(io.BytesIO(content)).size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)


def add_row(writer: SummaryWriter, asked: Mapping[str, Any], final: Mapping[str, float]) -> None:
    """A row of the HParams tab, in the same file: `add_hparams` would open a second one in a folder of its own."""
    for key, value in final.items():
        writer.add_scalar(key, value, 0)
    plain = {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in asked.items()}
    for summary in hparams(plain, dict(final)):
        writer._get_file_writer().add_summary(summary, 0)
