# Mask R-CNN with a small hybrid vision transformer and small heads, made for two CPU cores.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

width = 64

model = dict(
    type='MixedPrecisionMaskRCNN',
    channels_last=True,
    backbone=dict(_delete_=True, type='HybridViT', channels=(64, 128, 256, 256)),
    neck=dict(
        in_channels=[64, 128, 256, 256], out_channels=width, num_outs=4, norm_cfg=dict(type='BN')
    ),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(ratios=[1.0], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width, roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=dict(out_channels=width, roi_layer=dict(sampling_ratio=1)),
        mask_head=dict(
            type='RLEMaskHead', in_channels=width, conv_out_channels=width, num_classes=1
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='DenseMaxIoUAssigner')),
        rpn_proposal=dict(nms_pre=600, max_per_img=300),
        rcnn=dict(
            assigner=dict(type='DenseMaxIoUAssigner'), sampler=dict(num=128, pos_fraction=0.5)
        ),
    ),
    test_cfg=dict(rpn=dict(nms_pre=800, max_per_img=600), rcnn=dict(max_per_img=300)),
)
