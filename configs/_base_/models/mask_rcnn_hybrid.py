# Mask R-CNN with a small hybrid vision transformer and small heads, made for two CPU cores.
# Where the stock model spends most, at stride 4, this one has two convolutions, no proposals, and
# one sample a bin (docs/performance_model.md).
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

width = 64
channels = [64, 96, 192, 256]
extractor = dict(type='PointRoIExtractor', out_channels=width, featmap_strides=[4, 8, 16, 32])

model = dict(
    type='MixedPrecisionMaskRCNN',
    channels_last=True,
    backbone=dict(
        _delete_=True,
        type='HybridViT',
        channels=channels,
        depths=(1, 2, 2, 2),
        head_channels=64,
    ),
    neck=dict(in_channels=channels, out_channels=width, num_outs=4, norm_cfg=dict(type='BN')),
    rpn_head=dict(
        type='UpperLevelsRPNHead',
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[4, 8], ratios=[1.0], strides=[8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(_delete_=True, output_size=7, **extractor),
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=dict(_delete_=True, output_size=14, **extractor),
        mask_head=dict(
            type='RLEMaskHead',
            maskness=True,  # .003 to .008 of mask AP for nothing (docs/box.md)
            in_channels=width,
            num_convs=2,
            conv_out_channels=width,
            num_classes=1,
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='DenseMaxIoUAssigner')),
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(
            assigner=dict(type='DenseMaxIoUAssigner'), sampler=dict(num=64, pos_fraction=0.5)
        ),
    ),
    test_cfg=dict(rpn=dict(nms_pre=800, max_per_img=600), rcnn=dict(max_per_img=300)),
)
