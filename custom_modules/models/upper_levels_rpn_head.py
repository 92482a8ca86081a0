"""A region proposal head that leaves the finest maps to the heads after it."""

from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class UpperLevelsRPNHead(RPNHead):
    """:class:`RPNHead` on the pyramid's maps from ``first_level`` on.

    Three quarters of a pyramid's positions lie in its stride-4 map. Blood cells are 40 px and more
    across, so that proposals need no such density; masks do.

    Args:
        *args: As for :class:`RPNHead`.
        first_level: Index of the first map used; the anchors' strides start with its stride.
        **kwargs: As for :class:`RPNHead`.
    """

    def __init__(self, *args, first_level: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.first_level = first_level

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Scores and boxes of the levels used; see the parent class."""
        return super().forward(x[self.first_level :])
