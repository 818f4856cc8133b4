"""The loss of the region network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from twohands.hands.free import free_hand
from twohands.hands.model import HandModel, skin
from twohands.hands.skeleton import JOINTS_FROM_ARTICULATED, ROOT
from twohands.light_config import RegionConfig
from twohands.networks.region_network import RegionInput, RegionNetwork, RegionOutput
from twohands.region import Region
from twohands.training.region_items import CLEAR, MESH_LEVEL, RegionItem

BEND = 0.005
"""Error in metres above which the loss of a joint grows linearly."""
STAGES = (0.5, 0.7, 1.0)
"""Weights of the joints by the votes and after each round; the last one is the last of these."""
WEIGHTS = {"joints": 200.0, "mesh": 60.0, "sigma": 0.3, "present": 1.0, "side": 1.0, "mask": 1.0, "shape": 0.02}


class RegionObjective(nn.Module):
    """The region network with its loss."""

    def __init__(self, config: RegionConfig):
        super().__init__()
        self.model: HandModel = free_hand(MESH_LEVEL).map(torch.as_tensor)
        self.network = RegionNetwork(config, self.model.num_shape)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RegionObjective:
        """Move the hand model together with the network."""
        self.model = self.model.map(fn)
        return super()._apply(fn, recurse)

    def forward(self, item: RegionItem) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch of frames, and its terms before they are weighted."""
        output = self.network(region_input(item, self.network.config))
        with torch.autocast(item.depth.device.type, enabled=False):
            terms = region_terms(output, item, self.model)
        return sum(WEIGHTS[name] * value for name, value in terms.items()), terms  # type: ignore[return-value]


def region_input(item: RegionItem, config: RegionConfig) -> RegionInput:
    """Return the input of 2 B regions of a batch of B frames; what the network does not read is dropped."""
    companion = torch.block_diag(*(torch.tensor([[0.0, 1.0], [1.0, 0.0]]) for _ in item.companions))
    companion = companion.to(item.depth.device) * item.companions.repeat_interleave(2)[:, None]
    return RegionInput(
        Region(item.axes.flatten(0, 1), item.region_depth.flatten()),
        item.depth.flatten(0, 1),
        tuple(values.flatten(0, 1).float() for values in item.maps),
        item.landmarks.flatten(0, 1),
        item.seen.flatten(0, 1),
        companion,
    )


def region_terms(output: RegionOutput, item: RegionItem, model: HandModel) -> dict[str, Tensor]:
    """Return the terms: mean over the hands (joints, mesh, sigma, shape), over the regions (others)."""
    shown, right = item.shown.flatten(), item.right.flatten()
    hand = (shown > 0).float() * right
    true, away = item.joints.flatten(0, 1), hand.sum().clamp(min=1)
    joints = torch.zeros((), device=true.device)
    for weight, stage in zip(STAGES[-len(output.stages) :], output.stages, strict=True):
        error = functional.smooth_l1_loss(stage, true, beta=BEND, reduction="none").sum(-1).mean(-1)
        joints = joints + weight * (error * hand).sum() / away
    error = (output.joints.detach() - true).abs()
    along, across = error[..., 2], error[..., :2].square().mean(-1).add(1e-10).sqrt()
    spread = torch.stack([along, across], dim=-1)
    scale = output.sigma
    likelihood = (torch.log(scale) + 0.5 * (spread / scale).square().clamp(max=20.0)).mean((1, 2))
    vertices, moved = mesh(output, model)
    about = torch.cat([vertices, moved], dim=1) - moved[:, ROOT : ROOT + 1]
    points = Region(item.axes.flatten(0, 1), item.region_depth.flatten()).inside(true)
    wanted = torch.cat([item.vertices.flatten(0, 1), points - points[:, ROOT : ROOT + 1]], dim=1)
    surface = functional.smooth_l1_loss(about, wanted, beta=BEND, reduction="none").sum(-1).mean(-1)
    sure = ((shown == 0) | (shown >= CLEAR)).float()
    present = functional.binary_cross_entropy_with_logits(output.present, (shown > 0).float(), reduction="none")
    side = functional.binary_cross_entropy_with_logits(output.right, right, reduction="none")
    there = (shown > 0).float()
    mask = functional.binary_cross_entropy_with_logits(output.mask, item.mask.flatten(0, 1), reduction="none")
    return {
        "joints": joints,
        "mesh": (surface * hand).sum() / away,
        "sigma": (likelihood * hand).sum() / away,
        "present": (present * sure).sum() / sure.sum().clamp(min=1),
        "side": (side * there).sum() / there.sum().clamp(min=1),
        "mask": (mask.mean((1, 2)) * there).sum() / there.sum().clamp(min=1),
        "shape": (output.shape.square().sum(-1) * hand).sum() / away,
    }


def mesh(output: RegionOutput, model: HandModel) -> tuple[Tensor, Tensor]:
    """Return vertices (N, V, 3) and joints (N, 21, 3) of the predicted parameters, wrist at the origin, axes of the
    region; metres.
    """
    rest_vertices = model.rest_vertices + torch.einsum("ns,vcs->nvc", output.shape, model.shape_directions)
    rest_joints = model.rest_joints + torch.einsum("ns,jcs->njc", output.shape, model.joint_directions)
    vertices, joints = skin(rest_vertices, rest_joints, model.weights, output.pose)
    joints = torch.cat([joints, vertices[:, list(model.tip_vertices)]], dim=1)[:, list(JOINTS_FROM_ARTICULATED)]
    turn = output.rotation.transpose(1, 2)
    return vertices @ turn, joints @ turn
