"""Train a network offline: corpora, batches, the torch model and the training loop. Only this folder imports torch."""
