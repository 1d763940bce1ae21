"""Measure a network: likelihoods, roll-outs and their statistics, and pictures. Never imports torch."""
