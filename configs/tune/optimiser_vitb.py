# The optimiser of the ViT-B: rate, decay, layer decay, warm-up, stochastic depth.
#
#   make tune SPACE=configs/tune/optimiser_vitb.py TRIALS=24
#
# For a GPU: a trial is a run of 20 epochs, less where it is pruned. Found: docs/results.md.
config = 'configs/bccd_vitb_mask_rcnn.py'
sampler = 'tpe'
pruner = 'hyperband'
space = {
    'optim_wrapper.optimizer.lr': dict(low=5e-5, high=2e-3, log=True, points=5),
    'optim_wrapper.optimizer.weight_decay': dict(low=0.01, high=0.3, log=True, points=3),
    'optim_wrapper.paramwise_cfg.layer_decay_rate': dict(low=0.5, high=1.0, points=3),
    'param_scheduler.0.end': dict(low=50, high=250, step=50),
    'model.backbone.drop_path_rate': dict(low=0.0, high=0.3, step=0.1),
}
