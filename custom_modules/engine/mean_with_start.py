"""Weights half-way between those that training starts from and those that it comes to."""

from __future__ import annotations

import copy

import torch
from mmengine.model import BaseAveragedModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from cellkit.errors import BadSetting


@MODELS.register_module()
class MeanWithStart(BaseAveragedModel):
    """The mean of the weights at the start and of those now, as ``ema_type`` of ``EMAHook``.

    Fine-tuning on little data adapts a model and makes it forget. Between both weights lie models
    that do the one without the other (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot
    models", CVPR 2022). Training itself goes on as without it; validations, the best checkpoint and
    predictions have the mean. The start is what ``load_from`` names, all weights of the model.

    Args:
        model: The model that is trained.
        share: Of the weights now, above 0 and at most 1.
        interval: As for :class:`BaseAveragedModel`, ``device`` too. Buffers, such as the running
            statistics of batch norm, are always averaged with the weights.
        device: See there.

    Raises:
        BadSetting: ``share`` is no such number, or at the first step nothing was loaded: the mean
            with random weights is worth nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        share: float = 0.5,
        interval: int = 1,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(model, interval, device, update_buffers=True)
        if not 0 < share <= 1:
            raise BadSetting(f'MeanWithStart.share is {share}: give a number above 0, at most 1.')
        self.share = share
        self.start = copy.deepcopy(self.module)  # stored with checkpoints: a resumed run needs it

    def update_parameters(self, model: nn.Module) -> None:
        """See :meth:`BaseAveragedModel.update_parameters`."""
        if self.steps == 0:
            self._take_start()
        if self.steps % self.interval == 0:
            start, now = self.start.state_dict(), model.state_dict()
            for name, mean in self.avg_parameters.items():
                mean.copy_(start[name])
                self.avg_func(mean, now[name].to(mean.device), int(self.steps))
        self.steps += 1

    def _take_start(self) -> None:
        """What EMAHook has loaded since the model was built; it goes into the module alone."""
        built, loaded = self.start.state_dict(), self.module.state_dict()
        if all(torch.equal(built[name], value) for name, value in loaded.items()):
            raise BadSetting(
                'MeanWithStart: training starts from random weights; name a checkpoint with '
                'load_from, or leave out the EMAHook in custom_hooks.'
            )
        self.start.load_state_dict(loaded)

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        """Move the start's weight by the share; a counter becomes the source's."""
        if averaged_param.is_floating_point():
            averaged_param.lerp_(source_param, self.share)
        else:
            averaged_param.copy_(source_param)
