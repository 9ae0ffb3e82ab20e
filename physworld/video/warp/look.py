"""Camera, light and colours of clips, and where the camera sees a point. Numpy only; lengths in m."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """How E worlds are seen: camera, light and colours (RGB 0-1)."""

    eye: np.ndarray  # (E, 3) m
    yaw: np.ndarray  # (E,) rad, positive turns the camera to its right
    pitch: np.ndarray  # (E,) rad, positive turns it up
    view: np.ndarray  # (E,) m: height of the picture at the distance of the plane z = 0, straight ahead
    light: np.ndarray  # (E, 3) unit vector towards the light
    ambient: np.ndarray  # (E,) 0-1: share of light that comes from everywhere
    body: np.ndarray  # (E, N, 3)
    floor: np.ndarray  # (E, 2, 3) the two colours of its squares
    wall: np.ndarray  # (E, 3)
    back: float = 2.0  # m behind z = 0 where the wall stands
    square: float = 1.0  # m, side of the floor's squares
    pattern: float = 0.0  # 0-1: how much darker every other quarter of a ball is, so that spin shows

    def axes(self) -> np.ndarray:
        """(E, 3, 3) rows right, up and forward of each camera."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        zero = np.zeros_like(cy)
        right = np.stack([cy, zero, sy], -1)
        up = np.stack([-sy * sp, cp, cy * sp], -1)
        return np.stack([right, up, np.stack([sy * cp, sp, -cy * cp], -1)], 1)

    def tangent(self) -> np.ndarray:
        """(E,) tangent of half the vertical angle of view."""
        return self.view / 2 / self.eye[:, 2]

    def project(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Points (E, ..., 3) m -> (E, ..., 2) px (column, row) in a picture of `size` (W, H)."""
        width, height = size
        lead = (len(self.eye),) + (1,) * (points.ndim - 2)
        seen = np.einsum("eij,e...j->e...i", self.axes(), points - self.eye.reshape(*lead, 3))
        scale = height / 2 / (self.tangent().reshape(lead) * seen[..., 2])
        return np.stack([width / 2 + seen[..., 0] * scale, height / 2 - seen[..., 1] * scale], -1)

    def to_plane(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Pixels (E, ..., 2) -> points (E, ..., 2) m of the plane z = 0; the inverse of `project`."""
        width, height = size
        lead = (len(self.eye),) + (1,) * (pixels.ndim - 2)
        unit = self.tangent().reshape(lead) * 2 / height
        inside = np.stack([pixels[..., 0] - width / 2, height / 2 - pixels[..., 1]], -1) * unit[..., None]
        ray = np.concatenate([inside, np.ones_like(inside[..., :1])], -1)
        ray = np.einsum("eij,e...i->e...j", self.axes(), ray)
        eye = self.eye.reshape(*lead, 3)
        return eye[..., :2] - ray[..., :2] * (eye[..., 2:] / ray[..., 2:])
