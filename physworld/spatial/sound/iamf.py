"""A rendered bed or ambisonics as an .iamf file (AOMedia IAMF 1.1), through ffmpeg's muxer.

`imageio-ffmpeg` brings an ffmpeg that writes and reads such files. One audio element (7.1.4, 5.1.4, or ambisonics in
mono streams), one mix presentation with the loudness that was measured.
"""

from __future__ import annotations

import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physworld.errors import UserError, suggest
from physworld.settings.checks import installed
from physworld.spatial.sound.panning import LAYOUTS, LFE

CODECS = {
    "flac": ("-c:a", "flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24"),
    "opus": ("-c:a", "libopus", "-b:a", "128k", "-application", "audio", "-mapping_family", "0"),
    "pcm": ("-c:a", "pcm_s24le"),
}
# Streams of a layout: channels of ours that one stream carries, in the order of IAMF's table for it.
PAIRS = {
    "7.1.4": ((0, 1), (4, 5), (6, 7), (8, 9), (10, 11), (2,), (3,)),
    "5.1.4": ((0, 1), (4, 5), (6, 7), (8, 9), (2,), (3,)),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One layout's figures, as a mix presentation has them."""

    lufs: float
    digital_peak: float  # dBFS
    true_peak: float  # dBTP

    def text(self) -> str:
        values = {"integrated_loudness": self.lufs, "digital_peak": self.digital_peak, "true_peak": self.true_peak}
        return ":".join(
            f"{name}={max(-100.0, value) if math.isfinite(value) else -100.0:.3f}" for name, value in values.items()
        )


def ffmpeg() -> str:
    """The program's path.

    Raises:
        UserError: there is none that writes IAMF.
    """
    if "PHYSWORLD_FFMPEG" in os.environ:
        return os.environ["PHYSWORLD_FFMPEG"]
    installed("spatial", "imageio_ffmpeg", what="an IAMF file")
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def downmix(layout: str) -> np.ndarray:
    """(2, C): stereo of a bed, each loudspeaker off the middle 3 dB lower on its own side (ITU-R BS.775); no LFE."""
    rows = np.zeros((2, len(LAYOUTS[layout])))
    for k, speaker in enumerate(LAYOUTS[layout]):
        if speaker.name == LFE:
            continue
        direct = 1.0 if speaker.name in ("FL", "FR") else math.sqrt(0.5)
        for ear, sign in ((0, 1), (1, -1)):
            if speaker.az * sign >= 0:
                rows[ear, k] = direct
    return rows


def write_iamf(
    out: Path, source: Path, *, kind: str, codec: str, bed: Measured, stereo: Measured, name: str = "scene"
) -> None:
    """Turn a WAV file at 48 kHz into an .iamf file.

    Args:
        source: a bed in our order, or AmbiX.
        kind: a layout of `panning.LAYOUTS`, or ambisonics1, -2, -3.
        bed: measured of the layout itself (of ambisonics: decoded to 7.1.4).
        stereo: measured of its stereo downmix.

    Raises:
        UserError: the codec is unknown, or ffmpeg cannot write it.
    """
    if codec not in CODECS:
        raise UserError(f"--codec {codec} is unknown.{suggest(codec, CODECS)} Choose one of {', '.join(CODECS)}.")
    order = int(kind.removeprefix("ambisonics")) if kind.startswith("ambisonics") else 0
    streams = [(k,) for k in range((order + 1) ** 2)] if order else list(PAIRS[kind])
    split = "".join(f"[s{k}]" for k in range(len(streams)))
    chains = [f"[0:a]asplit={len(streams)}{split}"]
    for k, channels in enumerate(streams):
        layout = "stereo" if len(channels) == 2 else "mono"
        mapped = "|".join(f"c{n}=c{channel}" for n, channel in enumerate(channels))
        chains.append(f"[s{k}]pan={layout}|{mapped}[o{k}]")
    named = ":".join(f"st={k}" for k in range(len(streams)))
    if order:
        element = f"audio_element_type=scene,layer=ch_layout=ambisonic {order}:ambisonics_mode=mono"
        system = "7.1.4"
    else:
        element, system = f"audio_element_type=channel,layer=ch_layout={kind}", kind
    mix = (
        f"type=iamf_mix_presentation:id=2:stg=0:annotations=en-us={name},submix=parameter_id=100:parameter_rate=48000:"
        "default_mix_gain=0|element=stg=0:parameter_id=101:parameter_rate=48000:default_mix_gain=0:"
        f"headphones_rendering_mode=binaural:annotations=en-us={'ambisonics' if order else 'bed'}"
        f"|layout=layout_type=loudspeakers:sound_system=stereo:{stereo.text()}"
        f"|layout=layout_type=loudspeakers:sound_system={system}:{bed.text()}"
    )
    command = [ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", str(source)]
    command += ["-filter_complex", ";".join(chains)]
    for k in range(len(streams)):
        command += ["-map", f"[o{k}]", "-streamid", f"{k}:{k}"]
    command += ["-stream_group", f"type=iamf_audio_element:id=1:{named}:{element}", "-stream_group", mix]
    command += [*CODECS[codec], "-fflags", "+bitexact", "-f", "iamf", str(out)]
    run(command, f"{out.name}")


def run(command: list[str], what: str) -> str:
    """A program's standard error.

    Raises:
        UserError: it is not there or failed, with its last words.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{command[0]} cannot be run ({error.strerror}), so {what} cannot be written.") from None
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"ffmpeg could not write {what}: {words[:200]}")
    return done.stderr
