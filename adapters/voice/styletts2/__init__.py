"""StyleTTS2: a voice whose manner is sampled from a reference, by our own inference code.

Source: Y. A. Li, C. Han, V. S. Raghavan, G. Mischler, N. Mesgarani, *StyleTTS 2: Towards
Human-Level Text-to-Speech through Style Diffusion and Adversarial Training with Large Speech
Language Models* (2023), and the layout of the published LibriTTS checkpoint.
"""
