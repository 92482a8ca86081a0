# The config of the model in the box, beside its weights as in a run folder.
_base_ = '../configs/box_hybrid_mask_rcnn.py'
