# The optimiser of the CPU configuration's fine-tuning: rate, decay, warm-up, clipping.
#
#   make tune SPACE=configs/tune/optimiser.py TRIALS=24
#
# A trial is a run of 6 minutes on two cores, less where it is pruned. Found: docs/results.md.
config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
sampler = 'tpe'
pruner = 'hyperband'
space = {
    'optim_wrapper.optimizer.lr': dict(low=5e-5, high=5e-3, log=True, points=5),
    'optim_wrapper.optimizer.weight_decay': dict(low=5e-3, high=0.5, log=True, points=3),
    'param_scheduler.0.end': dict(low=10, high=100, step=10, points=3),
    'optim_wrapper.clip_grad.max_norm': [1.0, 5.0, 35.0],
}
