# ViT-B/16 Mask R-CNN, the main configuration; wants a GPU.
#
#   mim train mmdet configs/bccd_vitb_mask_rcnn.py
#   mim test mmdet configs/bccd_vitb_mask_rcnn.py --checkpoint work_dirs/…/best_….pth
#
# Time and score: not measured yet (one optimisation step on a CPU is part of the tests).
_base_ = [
    '_base_/models/mask_rcnn_vitb.py',
    '_base_/datasets/bccd_instance.py',
    '_base_/schedules/adamw_20e.py',
    '_base_/default_runtime.py',
]
