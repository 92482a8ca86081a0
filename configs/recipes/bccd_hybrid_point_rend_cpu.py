# The CPU configuration with PointRend's masks: a coarse mask, refined where it is unsure along the
# outline. The mask heads start from scratch, the rest from the box.
#
#   make train CONFIG=configs/recipes/bccd_hybrid_point_rend_cpu.py
#
# Validation mask AP 0.860, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/models/point_rend_masks.py']

width = _base_.width
model = _base_.point_rend
model.roi_head.mask_roi_extractor.out_channels = width
model.roi_head.mask_head.update(in_channels=width, conv_out_channels=width, fc_out_channels=256)
model.roi_head.point_head.update(in_channels=width, fc_channels=width)
