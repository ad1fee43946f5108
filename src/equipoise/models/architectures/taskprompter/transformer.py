"""The encoder of TaskPrompter: a vision transformer on patches and task prompts."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn


class Tap(NamedTuple):
    """The tensors that the decoders of T tasks read at one depth; none is computed from another.

    Scores are dot products, neither scaled nor normalised.

    Attributes:
        pairs: Scores between prompts, [B, heads, T, T]: queries in rows, keys in columns.
        spatial: Scores of prompts and patches, [B, heads, T * h, w]: a map for each prompt, one below the other.
        channel: Scores of channel prompts and channels in each window, [B, C, T * windows, windows], likewise.
        patches: The patches as a map, [B, C, h, w].
    """

    pairs: Tensor
    spatial: Tensor
    channel: Tensor
    patches: Tensor


class ChannelPrompts(nn.Module):
    """Scores between task prompts and the channels of a block.

    The channel prompts of TaskPrompter (Ye and Xu, "TaskPrompter: Spatial-Channel Multi-Task Prompting for Dense Scene
    Understanding", ICLR 2023). A linear map takes a prompt from the C channels to the h x w patches, where it is
    compared with the channels of the image, window by window. Another linear map takes it back; the result is added to
    the output of the prompt's attention. This is the form of the public code, with which the published numbers were
    made. That code also computes a softmax over the scores, whose result it drops.

    Args:
        width: Channels C.
        grid: Rows and columns of the patches.
        windows: Number of windows along each side.
        last: Whether the block is the last; only the scores of its prompts are read. The public code maps its prompts
            back too, with h w C + C parameters that never reach a prediction.
    """

    def __init__(self, width: int, grid: tuple[int, int], windows: int, *, last: bool) -> None:
        super().__init__()
        rows, columns = grid
        self.shape = (windows, rows // windows, windows, columns // windows)
        self.forth = nn.Linear(width, rows * columns)
        self.back = None if last else nn.Linear(rows * columns, width)
        for linear in (self.forth, self.back):
            if linear is not None:
                nn.init.trunc_normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)

    def forward(self, prompts: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return channel prompts [B, T, h * w] and the addition to the prompts, [B, T, C], from normalised prompts."""
        mapped = self.forth(prompts)
        return mapped, None if self.back is None else self.back(mapped)

    def scores(self, mapped: Tensor, patches: Tensor) -> Tensor:
        """Return `Tap.channel` for channel prompts [B, T, h * w] and normalised patches [B, h * w, C]."""
        asked, windows = mapped.unflatten(2, self.shape), patches.unflatten(1, self.shape)
        return torch.einsum("btipjq,bipjqc->bctij", asked, windows).flatten(2, 3)


class PromptedTransformer(nn.Module):
    """A vision transformer with one learnt prompt per task beside the patches, and taps at some depths.

    The encoder of TaskPrompter (ICLR 2023). Prompts and patches go through the same blocks and attend to each other, so
    the blocks model shared, task-specific and cross-task information. Class and register tokens are left out, with
    their position embeddings, as in the public code. There, stochastic depth draws for prompts and patches separately;
    here a sample's branch is dropped for both.

    Args:
        network: The vision transformer, built for the size of the images; it is modified.
        tasks: Number of tasks.
        levels: Number of taps, evenly spaced; the last follows the last block and its normalisation.
        windows: Number of windows along each side, see `ChannelPrompts`.

    Raises:
        ValueError: The network is no plain vision transformer, has fewer blocks than there are levels, or its patches
            cannot be divided into such windows.
    """

    def __init__(self, network: Any, tasks: int, levels: int, windows: int) -> None:
        super().__init__()
        if not isinstance(network, VisionTransformer) or any(
            type(block) is not Block or getattr(block.attn, "gate", None) is not None for block in network.blocks
        ):
            raise ValueError(
                "`backbone` should be a plain vision transformer, such as vit_base_patch16_384. Found a "
                f"{type(network).__name__} with other blocks."
            )
        depth = len(network.blocks)
        if not 1 <= levels <= depth:
            raise ValueError(f"`levels` should be from 1 to {depth}, the number of blocks. Found `levels = {levels}`.")
        if windows < 1:
            raise ValueError(f"`windows` should be 1 or more. Found `windows = {windows}`.")
        size, patch = network.patch_embed.img_size, network.patch_embed.patch_size
        if any(side % (of_patch * windows) for side, of_patch in zip(size, patch, strict=True)):
            raise ValueError(
                f"`size` should have sides that are multiples of {patch[0] * windows}, so that `windows = {windows}` "
                f"of the same number of patches fit along each. Found `size = {tuple(size)}`."
            )
        self.grid = tuple(network.patch_embed.grid_size)
        _drop_prefix(network)
        self.network: Any = network
        self.depths = [depth * (level + 1) // levels - 1 for level in range(levels)]
        self.prompts = nn.Parameter(torch.empty(tasks, network.embed_dim))
        nn.init.trunc_normal_(self.prompts, mean=1.0, std=1.0)
        self.channel_prompts = nn.ModuleList(
            ChannelPrompts(network.embed_dim, self.grid, windows, last=number == depth - 1) for number in range(depth)
        )

    def forward(self, images: Tensor) -> list[Tap]:
        """Return the taps, from shallow to deep, of images [B, 3, H, W] of the size that the network is built for."""
        network = self.network
        patches = network.patch_embed(images)
        if network.pos_embed is not None:
            patches = patches + network.pos_embed
        patches = network.norm_pre(network.pos_drop(patches))
        tokens = torch.cat([self.prompts.expand(len(images), -1, -1), patches], 1)
        taps = []
        for depth in range(len(network.blocks)):
            tokens, scores = self._block(depth, tokens)
            if scores is not None:
                patches = tokens[:, len(self.prompts) :]
                if depth == self.depths[-1]:
                    patches = network.norm(patches)
                taps.append(Tap(*scores, patches.transpose(1, 2).unflatten(2, self.grid)))
        return taps

    def last_layer(self) -> nn.Module:
        """Return the second layer of the last block's MLP."""
        return self.network.blocks[-1].mlp.fc2

    def _block(self, depth: int, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
        # The code of timm's block, whose attention does not return its scores. Only the prompts' scores are kept.
        block, count = self.network.blocks[depth], len(self.prompts)
        attention, channel_prompts = block.attn, cast(ChannelPrompts, self.channel_prompts[depth])
        normed = block.norm1(tokens)
        queries, keys, values = attention.qkv(normed).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
        queries, keys = attention.q_norm(queries.transpose(1, 2)), attention.k_norm(keys.transpose(1, 2))
        dropout: float = attention.attn_drop.p if self.training else 0.0
        gathered = F.scaled_dot_product_attention(queries, keys, values.transpose(1, 2), dropout_p=dropout)
        gathered = attention.norm(gathered.transpose(1, 2).flatten(2))
        gathered = attention.proj_drop(attention.proj(gathered))
        mapped, added = channel_prompts(normed[:, :count])
        if added is not None:
            gathered = torch.cat([gathered[:, :count] + added, gathered[:, count:]], 1)
        tokens = tokens + block.drop_path1(block.ls1(gathered))
        tokens = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
        if depth not in self.depths:
            return tokens, None
        pairs, spatial = (queries[:, :, :count] @ keys.transpose(-1, -2)).tensor_split([count], -1)
        channel = channel_prompts.scores(mapped, normed[:, count:])
        return tokens, (pairs, spatial.unflatten(-1, self.grid).flatten(2, 3), channel)


def _drop_prefix(network: VisionTransformer) -> None:
    """Remove class and register tokens and their position embeddings."""
    if network.pos_embed is not None:
        patches = network.patch_embed.num_patches
        network.pos_embed = nn.Parameter(network.pos_embed.detach()[:, -patches:].clone())
    network.cls_token = network.reg_token = None
    network.num_prefix_tokens = 0
