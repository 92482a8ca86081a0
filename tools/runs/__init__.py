"""What the programs share: a run on disk, its log, its model, its predictions."""
