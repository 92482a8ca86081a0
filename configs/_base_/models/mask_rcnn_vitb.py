# Mask R-CNN with a ViT-B/16, a simple feature pyramid and ViTDet's heads; one class, dense images.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

# mmpretrain's MAE weights (1600 epochs on ImageNet-1k). Another file of a plain ViT-B, whatever
# its names (docs/encoders.md), or None to start from scratch:
# --cfg-options model.backbone.init_cfg.checkpoint=FILE | model.backbone.init_cfg=None
pretrained = (
    'https://mmassets.onedl.ai/mmselfsup/1.x/mae/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k/'
    'mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k_20220825-f7569ca2.pth'
)

norm = dict(type='MapLayerNorm', eps=1e-6)

model = dict(
    type='MixedPrecisionMaskRCNN',
    channels_last=True,
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='WindowedViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        window_size=14,
        init_cfg=dict(type='PretrainedEncoder', checkpoint=pretrained),
    ),
    neck=dict(_delete_=True, type='SimpleFeaturePyramid', in_channels=768, out_channels=256),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=norm,
            num_classes=1,
        ),
        mask_head=dict(type='RLEMaskHead', norm_cfg=norm, num_classes=1),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='DenseMaxIoUAssigner')),
        rpn_proposal=dict(nms_pre=1000, max_per_img=1000),
        rcnn=dict(assigner=dict(type='DenseMaxIoUAssigner')),
    ),
    # Up to 190 cells lie in an image: 100 detections would lose one in twenty.
    test_cfg=dict(rcnn=dict(max_per_img=400)),
)
