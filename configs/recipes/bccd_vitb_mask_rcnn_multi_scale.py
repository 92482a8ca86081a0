# The main configuration on pictures of five sizes, from half to twice as many pixels a side.
#
#   mim train mmdet configs/recipes/bccd_vitb_mask_rcnn_multi_scale.py
#
# Time and score: not measured.
_base_ = '../bccd_vitb_mask_rcnn.py'

scales = [(640, 480), (800, 600), (1024, 768), (1280, 960), (1600, 1200)]
resize = dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], resize, *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
