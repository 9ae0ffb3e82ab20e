"""Spatial audio scenes: what they are, which rules they obey, and how a rule-based engineer writes them. No torch.

Azimuth is positive to the left (ITU-R BS.2076, IAMF), 0 in front; elevation is positive upwards; both in degrees.
Times of keyframes are fractions of the section; between keyframes azimuth (the shorter way round), elevation and
distance run linearly.
"""
