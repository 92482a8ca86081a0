# ViT-B/16 Mask R-CNN, the main configuration; wants a GPU.
#
#   mim train mmdet configs/bccd_vitb_mask_rcnn.py
#   mim test mmdet configs/bccd_vitb_mask_rcnn.py --checkpoint work_dirs/…/best_….pth
#
# A step of 16 takes 1.1 s on an H200 and keeps 35 GiB; smaller GPUs take the batch in parts
# (docs/gpu.md, docs/memory.md). A whole run: not measured.
_base_ = [
    '_base_/models/mask_rcnn_vitb.py',
    '_base_/datasets/bccd_instance.py',
    '_base_/schedules/adamw_20e.py',
    '_base_/default_runtime.py',
]
