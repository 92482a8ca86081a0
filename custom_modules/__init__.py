"""What MMDetection lacks for blood cells. Importing the package registers all of it."""

import os

# albumentations looks up its newest release on the network at every start, and nags.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from cellkit.files.program import quiet

with quiet():  # they tell of optional packages that are not used here
    import mmdet.datasets
    import mmdet.evaluation  # noqa: F401

from custom_modules.datasets.bccd_dataset import BCCDDataset
from custom_modules.datasets.smear_folder import SmearFolder
from custom_modules.datasets.synthetic_smears import SyntheticSmears
from custom_modules.datasets.transforms.albu_cells import AlbuCells
from custom_modules.datasets.transforms.draw_smear import DrawSmear
from custom_modules.datasets.transforms.elastic_cells import ElasticCells
from custom_modules.datasets.transforms.label_map_transforms import LabelMapAlbu, LabelMapCopyPaste
from custom_modules.datasets.transforms.load_smear import LoadSmear
from custom_modules.datasets.transforms.loading import LoadLabelMap
from custom_modules.datasets.transforms.paste_cells import PasteCells
from custom_modules.datasets.transforms.random_crop_cells import RandomCropCells
from custom_modules.datasets.transforms.stain_transforms import StainJitter, StainNormalize
from custom_modules.engine.health import HealthHook
from custom_modules.engine.layer_decay import BackboneLayerDecay
from custom_modules.engine.loaded_weights import CountedPretrained
from custom_modules.engine.mean_with_start import MeanWithStart
from custom_modules.engine.repeatable import PlacedBatches
from custom_modules.engine.safetensors_checkpoint import load_from_safetensors
from custom_modules.engine.stop_signals import StopHook
from custom_modules.engine.strict_runner import StrictRunner
from custom_modules.engine.train_loops import RepeatableEpochLoop, RepeatableIterLoop
from custom_modules.engine.validation_loss import ValidationLossHook
from custom_modules.engine.whole_checkpoint import WholeCheckpointHook
from custom_modules.evaluation.cell_metrics import (
    CountError,
    DenseCocoMetric,
    InstanceMetrics,
    PixelDice,
)
from custom_modules.models.consensus_tta import ConsensusTTAModel
from custom_modules.models.dense_assigner import DenseMaxIoUAssigner
from custom_modules.models.encoders.pretrained import PretrainedEncoder
from custom_modules.models.hybrid_vit import HybridViT
from custom_modules.models.map_layer_norm import MapLayerNorm
from custom_modules.models.mixed_precision_mae import MixedPrecisionMAE
from custom_modules.models.mixed_precision_mask_rcnn import MixedPrecisionMaskRCNN
from custom_modules.models.point_roi_extractor import PointRoIExtractor
from custom_modules.models.rle_mask_head import RLECoarseMaskHead, RLEMaskHead
from custom_modules.models.simple_feature_pyramid import SimpleFeaturePyramid
from custom_modules.models.tiled_mask_rcnn import TiledMaskRCNN
from custom_modules.models.upper_levels_rpn_head import UpperLevelsRPNHead
from custom_modules.models.windowed_vit import WindowedViT
from custom_modules.structures.label_map_masks import LabelMapMasks
from custom_modules.visualization.rle_visualizer import RLEVisualizer

__all__ = [
    'AlbuCells',
    'BCCDDataset',
    'BackboneLayerDecay',
    'ConsensusTTAModel',
    'CountError',
    'CountedPretrained',
    'DenseCocoMetric',
    'DenseMaxIoUAssigner',
    'DrawSmear',
    'ElasticCells',
    'HealthHook',
    'HybridViT',
    'InstanceMetrics',
    'LabelMapAlbu',
    'LabelMapCopyPaste',
    'LabelMapMasks',
    'LoadLabelMap',
    'LoadSmear',
    'MapLayerNorm',
    'MeanWithStart',
    'MixedPrecisionMAE',
    'MixedPrecisionMaskRCNN',
    'PasteCells',
    'PixelDice',
    'PlacedBatches',
    'PointRoIExtractor',
    'PretrainedEncoder',
    'RLECoarseMaskHead',
    'RLEMaskHead',
    'RLEVisualizer',
    'RandomCropCells',
    'RepeatableEpochLoop',
    'RepeatableIterLoop',
    'SimpleFeaturePyramid',
    'SmearFolder',
    'StainJitter',
    'StainNormalize',
    'StopHook',
    'StrictRunner',
    'SyntheticSmears',
    'TiledMaskRCNN',
    'UpperLevelsRPNHead',
    'ValidationLossHook',
    'WholeCheckpointHook',
    'WindowedViT',
    'load_from_safetensors',
]
