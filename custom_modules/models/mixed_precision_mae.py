"""mmpretrain's masked autoencoder in mixed precision."""

from mmdet.registry import MODELS
from mmpretrain.models import MAE

from custom_modules.models.mixed_precision import MixedPrecision


@MODELS.register_module()
class MixedPrecisionMAE(MixedPrecision, MAE):
    """``MAE`` in the precision that the hardware multiplies fastest, on a CPU too.

    ``AmpOptimWrapper`` (``--amp``) refuses a CPU. Targets and loss stay in float32.
    """
