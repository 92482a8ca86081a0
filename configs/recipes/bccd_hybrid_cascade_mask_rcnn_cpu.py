# The CPU configuration with Cascade Mask R-CNN's heads: three stages, each of which wants boxes
# that fit better. Box and mask heads start from scratch, the
# rest from the box.
#
#   make train CONFIG=configs/recipes/bccd_hybrid_cascade_mask_rcnn_cpu.py
#
# Validation mask AP 0.845, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/models/cascade_heads.py']

head = _base_.model.roi_head
rcnn = _base_.model.train_cfg.rcnn
model = dict(
    roi_head=dict(
        _delete_=True,
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_roi_extractor=head.bbox_roi_extractor,
        bbox_head=[dict(head.bbox_head, **stage) for stage in _base_.cascade_boxes],
        mask_roi_extractor=head.mask_roi_extractor,
        mask_head=head.mask_head,
    ),
    train_cfg=dict(
        rcnn=[
            dict(rcnn, assigner=dict(rcnn.assigner, **stage)) for stage in _base_.cascade_assigners
        ]
    ),
)
