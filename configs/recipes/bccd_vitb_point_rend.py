# The main configuration with PointRend's masks: a coarse mask, refined where it is unsure along the
# outline.
#
#   mim train mmdet configs/recipes/bccd_vitb_point_rend.py
#
# Time and score: not measured.
_base_ = ['../bccd_vitb_mask_rcnn.py', '../_base_/models/point_rend_masks.py']

width = 256
model = _base_.point_rend
model.roi_head.mask_roi_extractor.out_channels = width
model.roi_head.mask_head.update(in_channels=width, conv_out_channels=width, fc_out_channels=1024)
model.roi_head.point_head.update(in_channels=width, fc_channels=width)
