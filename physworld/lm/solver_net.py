"""A network that answers as a contact solver does: in rounds, each of which sees what the others have said so far.

A pile is a system of equations: what the floor gives to the lowest body depends on what all others lean on it. So every
line that acts (contacts point by point, joints) keeps an impulse, and in each round a learned function of the line sees
how fast its two points still move against each other *after all impulses so far*, and changes its own. The bodies'
velocities follow from the impulses by the lever arms that the text gives. Rounds have the same weights, as the sweeps
of a Gauss-Seidel solver do (all lines at once here, which is Jacobi's way).

Given by hand: impulses act along the contact's normal and tangent, with the lever arms; a contact only pushes; laws of
contact do not depend on the unit of speed, so speeds are divided by the line's own before the function sees them; with
`known_springs` the force of a spring, which the text says.
Learned: how much to push, restitution, friction, how hard a joint pulls, what is carried over from the frame before,
and what else 10 sweeps of Chipmunk's solver leave undone.

Shape suffixes: B batch, L tokens, N bodies of the whole batch, Q rows (points of contacts, joints), D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.contact_net import FRAME, MATERIAL, OWN, ContactLines
from physworld.lm.line_net import UNSURE, Stated, judged_of
from physworld.lm.message_passing import mlp
from physworld.lm.number_features import number_features
from physworld.lm.scene_pairs import Lines, Record, left, lines
from physworld.types import Vocabulary

POINT = ("gap", "next", "vn", "vt", "an", "at", "bn", "bt")
# What the numbers of a line that acts are, in the order of the text; `+`: and what it did in the frame before.
COLUMNS: dict[str, tuple[str, ...]] = {
    "touch": ("e", "mu", "share", "cn", "ct", *POINT),
    "touch2": ("e", "mu", "share", "cn", "ct", *POINT, *(f"{name}2" for name in POINT)),
    "link": ("share", "cn", "ct", "wrong_n", "vn", "vt", "an", "bn"),
    "tie": ("share", "cn", "ct", "wrong_n", "vn", "vt", "an", "bn"),
    "hold": ("share", "wrong_n", "wrong_t", "vn", "vt", "an", "at", "bn", "bt"),
    "coil": ("share", "cn", "ct", "kick", "damp", "vn", "vt", "an", "bn"),
    "drive": ("share", "lack", "most"),
}
MEMORY: dict[str, tuple[str, ...]] = {
    "touch": ("jn", "jt"), "touch2": ("jn", "jt", "jn2", "jt2"), "link": ("jn",), "tie": ("jn",), "hold": ("jn", "jt"),
    "drive": ("jn",),
}  # fmt: skip
FIELDS = {"pull": 3, "air": 1}  # numbers behind the direction
RATE = 6.0  # 1/s: a tenth of an error is mended in a frame of 1/60 s, the scale of errors as speeds
TINY = 0.02  # px/s; slower than this is rounding
HEAVIER = 40.0  # times its partner, 20 kg beside 0.5 kg, is the most that a body is in training
SCALARS = 14  # speeds that the function of a line sees
PUSHED = 3  # the same of position corrections


class Rows(NamedTuple):
    """Points of contacts, then joints; speeds px/s, impulses over the body's mass."""

    body: Tensor  # (Q,) among the N
    other: Tensor  # (Q,) among the N, N = what does not move
    normal: Tensor  # (Q, 2) from the partner to the body, in the world
    tangent: Tensor  # (Q, 2)
    arms: Tensor  # (Q, 4) AN AT BN BT; the partner's with the sign of the two hands
    speed: Tensor  # (Q, 2) VN VT
    wrong: Tensor  # (Q, 2) errors as speeds: bounce of contacts, stretch of joints
    gap: Tensor  # (Q,) px, now
    weight: Tensor  # (Q,) mass of the body over its partner's
    mu: Tensor  # (Q,)
    before: Tensor  # (Q, 2) impulse of the frame before
    known: Tensor  # (Q,) whether that is known
    given: Tensor  # (Q,) impulse along the normal that the text says, of springs
    vector: Tensor  # (Q, D)


class SolverNet(ContactLines):
    """Reads impulse text and says what happens to each body that something may act on."""

    def __init__(
        self,
        *,
        num_words: int,
        num_values: int,
        num_outputs: int,
        ordered_from: int,
        pad: int,
        prompt_end: int,
        names: list[int],
        special: list[int],
        records: dict[str, list[int]],
        width: int = 48,
        hidden: int = 96,
        rounds: int = 8,
        state: int = 24,
        known_springs: bool = False,
        median: bool = True,
    ) -> None:
        """
        Args:
            records: word -> [its id, names and numbers that follow].
            width, hidden: of vectors of bodies and lines, and of the functions of them.
            rounds: how often every line answers anew.
            state: numbers that a line keeps from round to round, besides its impulse.
            known_springs: springs begin from what the text says that they give. Without it they begin from nothing,
                and springs longer and softer than any trained one are pulled at too hard.
            median: numbers are chosen as the median of their distribution; False: the likeliest token.

        Raises:
            ValueError: rounds are below 1.
        """
        super().__init__(
            num_words=num_words, num_values=num_values, num_outputs=num_outputs, ordered_from=ordered_from, pad=pad,
            prompt_end=prompt_end, names=names, special=special, median=median,
        )  # fmt: skip
        if rounds < 1:
            raise ValueError(f"rounds={rounds} must be 1 or more")
        self.rounds, self.state, self.known_springs = rounds, state, known_springs
        self.records = {}
        for name, (word, count, numbers) in records.items():
            plain = name.removesuffix("+")
            columns = (*COLUMNS[plain], *(MEMORY[plain] if plain != name else ())) if plain in COLUMNS else ()
            self.records[name] = Record(word, count, columns or tuple(map(str, range(numbers))))
        features = number_features(torch.zeros(1)).shape[-1]
        known = {**MATERIAL, "self": len(OWN) - FRAME, **FIELDS, "touch": len(POINT) + 3}
        known |= {name: len(columns) for name, columns in COLUMNS.items() if not name.startswith("touch")}
        self.make_readers(known, width)
        self.of_row = mlp(width, hidden, width)
        self.of_node = mlp(2 * width, hidden, width)
        self.in_context = mlp(3 * width, hidden, width)
        seen = SCALARS + PUSHED + 3 + rounds + width + state
        self.blocks = nn.ModuleList(
            [mlp(seen, hidden, 4 + state) for _ in ("contacts", "joints")]
        )  # laws, of every round
        self.start = nn.Linear(width, 2 + state)
        self.pull = mlp(width, hidden, 2)
        self.judge = mlp(width + state + 6 * features, hidden, len(self.SCALES) + judged_of(len(self.SCALES)))
        with torch.no_grad():
            for function in (*self.blocks, self.judge, self.pull):
                last: Any = function[-1]
                last.weight.mul_(0.1)
                last.bias.zero_()
            self.judge[-1].bias[-2 * len(self.SCALES) :] = UNSURE  # type: ignore[operator]

    @classmethod
    def for_vocabulary(cls, vocabulary: Vocabulary, **sizes: int | float) -> SolverNet:
        """A new network for a codec's tokens; see `contacts_of`."""
        needed, extra = (*MATERIAL, "self", *COLUMNS, *FIELDS), [f"{name}+" for name in MEMORY]
        taken = cls.contacts_of(vocabulary, "solver", needed, extra, median=sizes.get("median", True))
        return cls(**taken, **sizes).with_values(vocabulary)  # type: ignore[arg-type]

    # --- reading

    def stated(self, ids_BL: Tensor) -> Stated:
        inside_BL = (ids_BL == self.prompt_end).cumsum(dim=1) == 0
        values = self.values.to(self.words["self"].dtype)
        found = {
            name: lines(ids_BL, inside_BL, record, values, self.num_words) for name, record in self.records.items()
        }
        own = found["self"]
        row, name, numbers = own.row, own.name[:, 0], torch.stack(list(own.number.values()), dim=1)
        N = len(row)
        index = torch.full((len(ids_BL), self.num_words), N, device=ids_BL.device)
        index[row, name] = torch.arange(N, device=ids_BL.device)
        axis_N2 = F.normalize(numbers[:, :2], dim=1)
        hand_N = torch.where(numbers[:, 2] < 0, -1.0, 1.0).to(axis_N2.dtype)
        _, _, _, vn, vt, vs, gn, gt = numbers.unbind(dim=1)
        own_ND = self.read("self", numbers[:, FRAME:])
        for kind, count in MATERIAL.items():
            some = found[kind]
            where = index[some.row, some.name[:, 0]]
            listed = where < N
            material = torch.stack(list(some.number.values()), dim=1)[listed, -count:]
            own_ND = own_ND.index_add(0, where[listed], self.read(kind, material))
        across_N2 = hand_N[:, None] * left(axis_N2)
        gain_N2 = gn[:, None] * axis_N2 + gt[:, None] * across_N2 + self._fields(found, index, axis_N2, across_N2, N)
        rows, split = self._rows(found, index, axis_N2, across_N2, hand_N, N)
        # What stands around a line: its body's other lines, and its partner's.
        heard_ND = torch.zeros_like(own_ND).index_add(0, rows.body, rows.vector)
        x_ND = own_ND + self.of_node(torch.cat([_norm(own_ND), heard_ND], dim=1))
        around = F.pad(x_ND, (0, 0, 0, 1))
        z_QD = rows.vector + self.in_context(
            torch.cat([_norm(rows.vector), _norm(around[rows.body]), _norm(around[rows.other])], dim=1)
        )
        dv_N2, ds_N, push_N2, h_NS = self._solve(rows, z_QD, gain_N2, split, N)
        change_N2 = dv_N2 - gain_N2 + self._fields(found, index, axis_N2, across_N2, N)
        said = torch.stack(
            [
                (change_N2 * axis_N2).sum(dim=1), (change_N2 * across_N2).sum(dim=1), ds_N,
                (push_N2 * axis_N2).sum(dim=1),
            ], dim=1,
        )  # fmt: skip
        after = torch.stack([vn + gn + said[:, 0], vt + gt + said[:, 1], vs + ds_N], dim=1)
        sizes = torch.stack([said[:, :3].norm(dim=1), after.norm(dim=1), *said.T[[3, 0, 1]], after[:, 1]], dim=1)
        judged = self.judge(
            torch.cat([_norm(x_ND), h_NS, number_features(sizes.detach()).to(said.dtype).flatten(1)], 1)
        )
        scale = said.detach().norm(dim=1, keepdim=True) + TINY
        said = said + scale * 0.1 * torch.tanh(judged[:, : len(self.SCALES)])
        stop = torch.stack([-vn - gn, -vt - gt, -vs, torch.zeros_like(vs)], dim=1)
        return Stated(row, name, said, judged[:, len(self.SCALES) :], stop)

    def _fields(self, found: dict[str, Lines], index: Tensor, axis_N2: Tensor, across_N2: Tensor, count: int) -> Tensor:
        """(N, 2) px/s that fields give to each body in the frame."""
        gain_N2 = axis_N2.new_zeros(count, 2)
        for kind in FIELDS:
            some = found[kind]
            if not len(some.row):
                continue
            body = index[some.row, some.name[:, 0]]
            numbers = torch.stack(list(some.number.values()), dim=1)
            vector = self.read(kind, numbers[:, 2:])
            share = self.pull(vector)
            along = numbers[:, :1] * axis_N2[body] + numbers[:, 1:2] * across_N2[body]
            # The air's velocity is where it pushes to; a pull's normal points away from what pulls.
            size = numbers[:, 2:3] / 100 if kind == "air" else -numbers[:, 4:5] / 60
            gain_N2 = gain_N2.index_add(0, body, along * size * share[:, :1].clamp(-12, 12).exp())
        return gain_N2

    def _rows(
        self, found: dict[str, Lines], index: Tensor, axis_N2: Tensor, across_N2: Tensor, hand_N: Tensor, count: int
    ) -> tuple[Rows, int]:
        """(all rows, how many of them are points of contacts)."""
        parts: list[Rows] = []
        both = F.pad(hand_N, (0, 1), value=1.0)
        for kind in COLUMNS:
            for name in (kind, f"{kind}+"):
                if name not in found or not len(found[name].row):
                    continue
                some = found[name]
                body = index[some.row, some.name[:, 0]]
                other = index[some.row, some.name[:, 1].clamp(min=0)].masked_fill(some.name[:, 1] < 0, count)
                for point in ("", "2") if kind == "touch2" else ("",):
                    parts.append(self._part(kind, some.number, point, body, other, axis_N2, across_N2, both))
            if kind == "touch2":
                split = sum(len(part.body) for part in parts)
        if not parts:
            none = index.new_zeros(0)
            zero = axis_N2.new_zeros
            return Rows(
                none, none, zero(0, 2), zero(0, 2), zero(0, 4), zero(0, 2), zero(0, 2), zero(0), zero(0), zero(0),
                zero(0, 2), zero(0), zero(0), zero(0, self.words["self"].shape[0]),
            ), 0  # fmt: skip
        return Rows(*(torch.cat(column) for column in zip(*parts, strict=True))), split

    def _part(
        self, kind: str, number: Mapping[str, Tensor], point: str, body: Tensor, other: Tensor, axis_N2: Tensor,
        across_N2: Tensor, hand: Tensor,
    ) -> Rows:  # fmt: skip
        """The rows of one point of all lines of a kind."""
        nothing = torch.zeros_like(number["share"])

        def of(name: str) -> Tensor:
            return number.get(name + point, nothing)

        cn, ct = (number["cn"], number["ct"]) if "cn" in number else (torch.ones_like(nothing), nothing)
        if kind == "drive":
            cn = nothing
        normal = cn[:, None] * axis_N2[body] + ct[:, None] * across_N2[body]
        tangent = -ct[:, None] * axis_N2[body] + cn[:, None] * across_N2[body]
        hands = hand[body] * hand[other]
        share = number["share"].clamp(min=1e-4)
        if kind == "drive":
            arms = torch.stack([torch.ones_like(nothing), nothing, nothing, nothing], dim=1)
            speed, wrong = torch.stack([-number["lack"], nothing], 1), torch.stack([number["most"], nothing], 1)
        else:
            arms = torch.stack([of("an"), of("at"), hands * of("bn"), hands * of("bt")], dim=1)
            speed = torch.stack([of("vn"), of("vt")], dim=1)
            if kind.startswith("touch"):
                wrong = torch.stack([number["e"] * of("vn"), nothing], dim=1)
            elif kind == "coil":
                wrong = torch.stack([number["kick"], number["damp"] / 100 * of("vn")], dim=1)
            else:
                wrong = RATE * torch.stack([of("wrong_n"), of("wrong_t")], dim=1)
        # What is far lighter or heavier than anything in training is read as if it were that; the exact share is in
        # `weight`. Of a motor it is a share of moments, which sizes alone bring out of these bounds.
        if kind != "drive":
            edge = 1 / (1 + HEAVIER)
            number = {**number, "share": torch.where(share < 1, share.clamp(edge, 1 - edge), share)}
        if kind.startswith("touch"):
            read = torch.stack([*(number[name] for name in ("e", "mu", "share")), *(of(name) for name in POINT)], dim=1)
            vector = self.read("touch", read)
        else:
            vector = self.read(kind, torch.stack([number[name] for name in COLUMNS[kind]], dim=1))
        vector = vector + self.of_row(vector)
        known = torch.ones_like(nothing) if "jn" in number else nothing
        given = number["kick"] if kind == "coil" and self.known_springs else nothing
        return Rows(
            body, other, normal, tangent, arms, speed, wrong, of("gap"), (1 - share) / share,
            number.get("mu", nothing), torch.stack([of("jn"), of("jt")], dim=1), known, given, vector,
        )  # fmt: skip

    # --- rounds

    def _solve(
        self, rows: Rows, z_QD: Tensor, gain_N2: Tensor, split: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(change of velocity (N, 2), fields' too, of gyration speed (N,), push (N, 2), states (N, S))."""
        body, other, arms = rows.body, rows.other, rows.arms
        begin = self.start(z_QD)
        h_QS = torch.tanh(begin[:, 2:])
        impulse = rows.before * rows.known[:, None] * (1 + begin[:, :2]) + F.pad(rows.given[:, None], (0, 1))
        stiff = torch.stack(
            [
                rows.normal.square().sum(1) + arms[:, 0] ** 2 + rows.weight * (1 + arms[:, 2] ** 2),
                rows.tangent.square().sum(1) + arms[:, 1] ** 2 + rows.weight * (1 + arms[:, 3] ** 2),
            ], dim=1,
        ).clamp(min=1e-3)  # fmt: skip
        depth = RATE * (-rows.gap).clamp(min=0) * (torch.arange(len(body), device=body.device) < split)
        push = torch.zeros_like(depth)
        gain = F.pad(gain_N2, (0, 0, 0, 1))

        def moved(impulse: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
            """(velocities (N + 1, 2), gyration speeds (N + 1,)) that impulses of rows bring about."""
            along = impulse[:, :1] * rows.normal + impulse[:, 1:] * rows.tangent
            v = z_QD.new_zeros(count + 1, 2).index_add(0, body, along)
            s = z_QD.new_zeros(count + 1).index_add(0, body, (impulse * arms[:, :2]).sum(dim=1))
            return v if start is None else v + start, s

        def against(v: Tensor, s: Tensor) -> Tensor:
            """(Q, 2) speeds along normal and tangent of each row's body against its partner."""
            still = (other < count).to(v.dtype)
            apart = v[body] - v[other] * still[:, None]
            s_a, s_b = s[body], s[other] * still
            return torch.stack(
                [
                    (apart * rows.normal).sum(1) + arms[:, 0] * s_a - arms[:, 2] * s_b,
                    (apart * rows.tangent).sum(1) + arms[:, 1] * s_a - arms[:, 3] * s_b,
                ], dim=1,
            )  # fmt: skip

        for step in range(self.rounds):
            v, s = moved(impulse, gain)
            now = rows.speed + against(v, s)
            pushed = against(*moved(F.pad(push[:, None], (0, 1)), None))[:, 0]
            seen = torch.cat(
                [
                    now, now / stiff, rows.speed / stiff, rows.wrong, rows.wrong / stiff, impulse,
                    (rows.mu * impulse[:, 0])[:, None], rows.before[:, :1],
                ], dim=1,
            )  # fmt: skip
            size = (seen.detach().square().sum(dim=1, keepdim=True) + TINY**2).sqrt()
            bias = torch.stack([pushed, depth, push], dim=1)
            width = (bias.detach().square().sum(dim=1, keepdim=True) + TINY**2).sqrt()
            which = torch.zeros(self.rounds, device=now.device, dtype=now.dtype)
            which[step] = 1.0
            inputs = torch.cat(
                [
                    seen / size, bias / width, size.log(), width.log(), rows.known[:, None],
                    which.expand(len(now), -1), z_QD, h_QS,
                ], dim=1,
            )  # fmt: skip
            of_contacts, of_joints = self.blocks
            out = torch.cat([of_contacts(inputs[:split]), of_joints(inputs[split:])])
            impulse = impulse + size * out[:, :2]
            push = (push + width[:, 0] * out[:, 2]).clamp(min=0)
            impulse = torch.cat(
                [torch.stack([impulse[:split, 0].clamp(min=0), impulse[:split, 1]], dim=1), impulse[split:]]
            )
            h_QS = h_QS + out[:, 4:] * 0.5
        v, s = moved(impulse, gain)
        h_NS = z_QD.new_zeros(count, self.state).index_add(0, body, torch.tanh(h_QS))
        return v[:count], s[:count], moved(F.pad(push[:, None], (0, 1)), None)[0][:count], h_NS


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])
