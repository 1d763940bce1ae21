"""Training a network offline: corpora, batches, the torch model and its loop. Only this folder imports torch."""
