# The CPU configuration on pictures of five sizes, from half to twice as many pixels a side.
#
#   make train CONFIG=configs/recipes/bccd_hybrid_mask_rcnn_cpu_multi_scale.py
#
# Validation mask AP 0.864, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = '../bccd_hybrid_mask_rcnn_cpu.py'

scales = [(640, 480), (800, 600), (1024, 768), (1280, 960), (1600, 1200)]
resize = dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], resize, *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
