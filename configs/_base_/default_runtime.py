# What every run shares: registration, checks, logging, the choice of the best checkpoint.
_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['custom_modules'], allow_failed_imports=False)
runner_type = 'StrictRunner'  # a misspelt override is an error: custom_modules/engine/
# Images that go through the GPU at once (None: as many as its memory takes); 'smaller' instead of
# 'stop' goes on with fewer where memory runs out. A batch, an optimiser step, stays the same.
micro_batch = dict(size=None, out_of_memory='stop')

load_what_fits = False  # load_from: leave out tensors of another size instead of refusing them

default_hooks = dict(
    checkpoint=dict(save_best='coco/segm_mAP', max_keep_ckpts=2),
)
# Training losses on validation images, for the curves of `make report`.
custom_hooks = [dict(type='ValidationLossHook', max_images=32)]
# One line each for Weights & Biases and MLflow, see docs/training.md.
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
# `mim test … --tta`: views of an image merged, masks too (docs/evaluation.md).
tta_model = dict(type='ConsensusTTAModel')
visualizer = dict(type='RLEVisualizer', vis_backends=vis_backends, name='visualizer')
