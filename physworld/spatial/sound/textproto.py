"""Object metadata as a text that iamf-tools' encoder reads: a UserMetadata message with one object element each.

Profile Base-Advanced, which has up to 18 elements. An element is one mono file; its place stands in its rendering
configuration in whole degrees (azimuth positive to the left, as here), its distance as a share of 15 m in 7 bits, its
gain in 1/256 dB. The message has no words for positions that change (iamf-tools of August 2026: parameter blocks hold
gains, demixing and reconstruction alone), so a moving object stands at its first keyframe, and a comment names it.
"""

from __future__ import annotations

from physworld.errors import UserError
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.sound.iamf import Measured
from physworld.spatial.sound.render import RATE

MOST_ELEMENTS = 18
FARTHEST = 15.0  # m, which are 127
FRAME = 1024  # samples


def q78(decibels: float) -> int:
    """dB -> 16 bits, 256 for each dB; silence is the lowest there is."""
    return max(-(2**15), min(2**15 - 1, round(256 * max(-128.0, decibels))))


def as_textproto(scene: SpatialScene, name: str, measured: Measured) -> str:
    """The message for a scene whose objects lie beside it as ID.wav.

    Args:
        name: of the files that the encoder makes, and of the presentation.
        measured: of the stereo rendering.

    Raises:
        UserError: the profile has too few elements for the scene.
    """
    if len(scene.objects) > MOST_ELEMENTS:
        raise UserError(
            f"iamf-tools' Base-Advanced profile has {MOST_ELEMENTS} elements, and the scene has {len(scene.objects)} "
            f"objects; ask for --max-objects {MOST_ELEMENTS}."
        )
    moving = [thing.id for thing in scene.objects if thing.moves]
    remark = [f"# These objects move and stand at their first keyframe here: {', '.join(moving)}"] if moving else []
    elements = [_element(300 + n, n) for n in range(len(scene.objects))]
    mixed = [_mixed(300 + n, 1 + n, 100 + n, thing) for n, thing in enumerate(scene.objects)]
    frames = [_frames(300 + n, thing.id) for n, thing in enumerate(scene.objects)]
    return "\n".join(
        [
            "# proto-file: iamf/cli/proto/user_metadata.proto", "# proto-message: UserMetadata", *remark,
            f'test_vector_metadata {{ file_name_prefix: "{name}" is_valid: true is_valid_to_decode: true }}',
            "ia_sequence_header_metadata {", "  primary_profile: PROFILE_VERSION_BASE_ADVANCED",
            "  additional_profile: PROFILE_VERSION_BASE_ADVANCED", "}",
            "codec_config_metadata {", "  codec_config_id: 200", "  codec_config {", "    codec_id: CODEC_ID_LPCM",
            f"    num_samples_per_frame: {FRAME}", "    audio_roll_distance: 0",
            "    decoder_config_lpcm {", "      sample_format_flags: LPCM_LITTLE_ENDIAN", "      sample_size: 24",
            f"      sample_rate: {RATE}", "    }",
            "  }", "}", *elements,
            "mix_presentation_metadata {", "  mix_presentation_id: 42", '  annotations_language: ["en-us"]',
            f'  localized_presentation_annotations: ["{name}"]', "  sub_mixes {", *mixed,
            f"    output_mix_gain {{ {_parameter(99)} default_mix_gain: 0 }}", "    layouts {",
            "      loudness_layout {", "        layout_type: LAYOUT_TYPE_LOUDSPEAKERS_SS_CONVENTION",
            "        ss_layout { sound_system: SOUND_SYSTEM_A_0_2_0 }", "      }", "      loudness {",
            "        info_type_bit_masks: [LOUDNESS_INFO_TYPE_TRUE_PEAK]",
            f"        integrated_loudness: {q78(measured.lufs)}", f"        digital_peak: {q78(measured.digital_peak)}",
            f"        true_peak: {q78(measured.true_peak)}", "      }", "    }", "  }", "}", *frames,
            "temporal_delimiter_metadata { enable_temporal_delimiters: false }", "",
        ]
    )  # fmt: skip


def _parameter(number: int) -> str:
    return f"param_definition {{ parameter_id: {number} parameter_rate: {RATE} param_definition_mode: 1 reserved: 0 }}"


def _element(number: int, stream: int) -> str:
    return (
        f"audio_element_metadata {{\n  audio_element_id: {number}\n  audio_element_type: AUDIO_ELEMENT_OBJECT_BASED\n"
        f"  reserved: 0\n  codec_config_id: 200\n  audio_substream_ids: [{stream}]\n"
        "  objects_config { num_objects: 1 }\n}"
    )


def _mixed(number: int, place: int, gain: int, thing: SceneObject) -> str:
    az, el, dist = thing.path[0][1]
    return (
        f"    audio_elements {{\n      audio_element_id: {number}\n"
        f'      localized_element_annotations: ["{thing.id}"]\n      rendering_config {{\n'
        "        headphones_rendering_mode: HEADPHONES_RENDERING_MODE_BINAURAL\n"
        "        rendering_config_param_definitions {\n          param_definition_type: PARAM_DEFINITION_TYPE_POLAR\n"
        f"          polar_param_definition {{\n            {_parameter(place)}\n"
        f"            default_azimuth: {round(az)}\n            default_elevation: {round(el)}\n"
        f"            default_distance: {round(127 * min(dist / FARTHEST, 1))}\n"
        "          }\n        }\n      }\n"
        f"      element_mix_gain {{ {_parameter(gain)} default_mix_gain: {q78(thing.gain_db)} }}\n    }}"
    )


def _frames(number: int, name: str) -> str:
    return (
        f'audio_frame_metadata {{\n  wav_filename: "{name}.wav"\n  audio_element_id: {number}\n'
        "  samples_to_trim_at_end_includes_padding: false\n  samples_to_trim_at_start_includes_codec_delay: false\n"
        "  channel_metadatas: [ { channel_id: 0 channel_label: CHANNEL_LABEL_OBJECT_CHANNEL0 } ]\n}"
    )
