# A drawn smear, at the size and scale of the crops: in the place of loading, resizing and cropping.
augment_synthetic = [
    dict(type='DrawSmear', size=(512, 384), scale=(1024, 768), ratio_range=(0.8, 1.25)),
]
