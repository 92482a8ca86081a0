"""What MMDetection lacks for blood cells. Importing the package registers all of it."""

import os

# albumentations looks up its newest release on the network at every start, and nags.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from .bccd_dataset import BCCDDataset
from .bfloat16_mask_rcnn import BFloat16MaskRCNN
from .counting import CountError
from .dense_coco_metric import DenseCocoMetric
from .hybrid_vit import HybridViT
from .instance_map_masks import InstanceMapMasks
from .instance_map_transforms import InstanceMapAlbu, InstanceMapCopyPaste
from .instance_metrics import InstanceMetrics
from .layer_decay import BackboneLayerDecay
from .loading import LoadInstanceMap
from .pixel_dice import PixelDice
from .random_crop_cells import RandomCropCells
from .rle_mask_head import RLEMaskHead
from .rle_visualizer import RLEVisualizer
from .simple_feature_pyramid import SimpleFeaturePyramid
from .stain_transforms import StainJitter, StainNormalize
from .strict_runner import StrictRunner
from .validation_loss import ValidationLossHook
from .windowed_vit import WindowedViT

__all__ = [
    'BCCDDataset',
    'BFloat16MaskRCNN',
    'BackboneLayerDecay',
    'CountError',
    'DenseCocoMetric',
    'HybridViT',
    'InstanceMapAlbu',
    'InstanceMapCopyPaste',
    'InstanceMapMasks',
    'InstanceMetrics',
    'LoadInstanceMap',
    'PixelDice',
    'RLEMaskHead',
    'RLEVisualizer',
    'RandomCropCells',
    'SimpleFeaturePyramid',
    'StainJitter',
    'StainNormalize',
    'StrictRunner',
    'ValidationLossHook',
    'WindowedViT',
]
