"""One given scene, rolled forward by a finished run."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld.drawing.render import comparison, render
from physworld.errors import UserError, counted
from physworld.io.images import write_gif
from physworld.io.placing import placing
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.settings import checks
from physworld.sim.pymunk_sim import simulate
from physworld.text import timestep
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.codecs.yaml_scene import is_by_hand, read_yaml
from physworld.text.rollout import rollout
from physworld.text.sources.files import Row, is_table, read_scene
from physworld.training.hardware import placed
from physworld.types import Trajectory

console = screen()
PICTURES = 600  # most of a GIF: each is some hundred kB in memory; of longer rollouts every second frame, say, is drawn


def predict(cfg: DictConfig) -> None:
    """Roll one scene forward; where the input goes on long enough, the truth is drawn beside the prediction."""
    checks.whole("frames", cfg.frames, 1)
    checks.whole("start", cfg.start, 0, or_null=True)
    hardware, path = placed(cfg), Path(str(cfg.input))
    checks.whole("row", cfg.row, 0)
    if cfg.row and not is_table(path):
        raise UserError(f"row={cfg.row} is for Parquet files; {path} holds one scene, so leave it out.")
    by_hand = is_by_hand(path)
    known = (
        None
        if path.suffix.lower() == ".txt" or by_hand
        else checks.read(read_scene, Row(path, cfg.row) if is_table(path) else path)
    )
    scene = checks.read(read_yaml, path) if by_hand else None
    run = runs.find_run(cfg.run)
    network, codec, config = load_model(run, hardware.device())
    if scene is not None:  # a scene by hand goes on as the simulator has it
        begun = codec.context_frames if cfg.start is None else max(codec.context_frames, cfg.start + 1)
        known = simulate(scene, begun + cfg.frames)
    elif known is None:
        known = _read_prompt(path, codec)
    if len(known) < codec.fewest_frames:
        have, want = counted(len(known), "frame"), codec.fewest_frames
        raise UserError(f"{path} has {have} and this model reads {want}; give a longer one.")
    reads = min(codec.context_frames, len(known))
    first = reads - 1 if cfg.start is None else cfg.start
    begin = first + 1 - reads
    if begin < 0 or first >= len(known):
        fits = f"{reads - 1}-{len(known) - 1}" if len(known) > reads else reads - 1
        raise UserError(
            f"start={cfg.start} does not fit {path}: it has {counted(len(known), 'frame')} and this model reads "
            f"{reads}, so choose {fits}, or leave start out."
        )
    strange = timestep.warning([known.scene], timestep.of_run(run, config))
    if strange:
        console.print(f"{path}: {strange}.", style="yellow", highlight=False, soft_wrap=True)
    given = known.window(begin, first + 1)
    try:
        codec.prompt(given)
    except ValueError as error:  # more bodies than the text can name, say
        raise UserError(f"{path} cannot be written as this model's text: {error}.") from None
    with bar("Predicting", cfg.frames, console) as done:
        said = rollout(network, codec, [given], cfg.frames, progress=done)
    predicted, truth = said.predicted[0], known.window(first + 1, first + 1 + cfg.frames)
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    whole = len(truth) == len(predicted)
    every = -(-cfg.frames // PICTURES)
    pictures = comparison(truth, predicted, every=every) if whole else render(predicted, every=every)
    with placing(directory, "hydra.run.dir") as work:
        write_jsonl(work / "prediction.jsonl", given.then(predicted))
        write_gif(work / "prediction.gif", pictures, 1 / (every * known.scene.dt))
    if said.parsed[0] < cfg.frames:
        console.print(f"The model's text stopped making sense after {said.parsed[0]} of {cfg.frames} frames.")
    console.print(f"{directory}/prediction.jsonl\n{directory}/prediction.gif", soft_wrap=True)


def _read_prompt(path: Path, codec: FrameCodec) -> Trajectory:
    if not codec.reads_prompts:
        raise UserError(
            f"{type(codec).__name__} cannot read {path}: its text lacks part of the scene; give a JSONL file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise UserError(f"input={path} cannot be read (it is not UTF-8 text).") from None
    given = codec.read_prompt(text)
    if given is None:
        raise UserError(
            f"{path} is no prompt in this run's format, which is {codec.text_name} text: {codec.why_no_prompt(text)}."
        )
    return given
