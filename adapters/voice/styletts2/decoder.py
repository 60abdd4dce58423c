"""From what sounds when, pitch and energy to a wave: HiFi-GAN with a source of harmonics.

Sources: J. Kong, J. Kim, J. Bae, *HiFi-GAN* (2020); X. Wang, S. Takaki, J. Yamagishi, *Neural
Source-Filter Waveform Models for Statistical Parametric Speech Synthesis* (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import AdaptiveInstanceNorm, AdaptiveResidual, snake

__all__ = ["Decoder", "HarmonicSource"]

_RATE_HZ = 24_000
_HARMONICS = 9
_SINE = 0.1
_NOISE = 0.003
_VOICED_ABOVE_HZ = 10.0


class HarmonicSource(nn.Module):
    """F0 at every sample to nine harmonics of it, mixed to one wave; noise where there is no voice.

    :param step: samples for each value of F0.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.l_linear = nn.Linear(_HARMONICS, 1)

    def forward(self, f0: Tensor, generator: torch.Generator) -> Tensor:
        """``f0`` ``(batch, frames)`` in Hz to ``(batch, 1, frames × step)``."""
        held = f0.repeat_interleave(self.step, dim=1).unsqueeze(-1)
        harmonics = held * torch.arange(1, _HARMONICS + 1, device=f0.device, dtype=f0.dtype)
        turns = (harmonics / _RATE_HZ) % 1
        begin = torch.rand((len(f0), _HARMONICS), generator=generator).to(f0)
        begin[:, 0] = 0
        turns[:, 0] += begin
        # The phase is summed a frame at a time and drawn out, as the network has learned it.
        coarse = _stretched(turns, 1 / self.step)
        phase = _stretched(torch.cumsum(coarse, dim=1) * 2 * math.pi * self.step, self.step)
        voiced = (held > _VOICED_ABOVE_HZ).to(f0.dtype)
        loud = voiced * _NOISE + (1 - voiced) * _SINE / 3
        noise = loud * torch.randn(phase.shape, generator=generator).to(f0)
        mixed = torch.tanh(self.l_linear(torch.sin(phase) * _SINE * voiced + noise))
        return mixed.transpose(1, 2)


def _stretched(x: Tensor, factor: float) -> Tensor:
    """``(batch, time, features)``, ``factor`` times as long."""
    return F.interpolate(x.transpose(1, 2), scale_factor=factor, mode="linear").transpose(1, 2)


class _StyledResidual(nn.Module):
    """Three pairs of convolutions, the first of each pair dilated, all following the style."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], style: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=wide, padding=wide * (kernel - 1) // 2)
            for wide in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )
        self.adain1 = nn.ModuleList(AdaptiveInstanceNorm(style, channels) for _ in dilations)
        self.adain2 = nn.ModuleList(AdaptiveInstanceNorm(style, channels) for _ in dilations)
        self.alpha1 = nn.ParameterList(torch.ones(1, channels, 1) for _ in dilations)
        self.alpha2 = nn.ParameterList(torch.ones(1, channels, 1) for _ in dilations)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for conv1, conv2, norm1, norm2, alpha1, alpha2 in zip(
            self.convs1,
            self.convs2,
            self.adain1,
            self.adain2,
            self.alpha1,
            self.alpha2,
            strict=True,
        ):
            inner = conv1(snake(norm1(x, style), alpha1))
            x = x + conv2(snake(norm2(inner, style), alpha2))
        return x


class _Generator(nn.Module):
    def __init__(
        self,
        *,
        style: int,
        channels: int,
        rates: Sequence[int],
        kernels: Sequence[int],
        residual_kernels: Sequence[int],
        dilations: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        widths = [channels // 2**step for step in range(len(rates) + 1)]
        self.m_source = HarmonicSource(math.prod(rates))
        self.ups = nn.ModuleList()
        self.noise_convs = nn.ModuleList()
        self.noise_res = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        self.alphas = nn.ParameterList(torch.ones(1, width, 1) for width in widths)
        self._ways = len(residual_kernels)
        for step, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
            inner, outer = widths[step], widths[step + 1]
            self.ups.append(
                nn.ConvTranspose1d(
                    inner,
                    outer,
                    kernel,
                    stride=rate,
                    padding=rate // 2 + rate % 2,
                    output_padding=rate % 2,
                )
            )
            after = math.prod(rates[step + 1 :])
            last = step + 1 == len(rates)
            self.noise_convs.append(
                nn.Conv1d(1, outer, 1)
                if last
                else nn.Conv1d(1, outer, after * 2, stride=after, padding=(after + 1) // 2)
            )
            self.noise_res.append(_StyledResidual(outer, 11 if last else 7, (1, 3, 5), style))
            for size, wide in zip(residual_kernels, dilations, strict=True):
                self.resblocks.append(_StyledResidual(outer, size, wide, style))
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3)

    def forward(self, x: Tensor, style: Tensor, f0: Tensor, generator: torch.Generator) -> Tensor:
        source = self.m_source(f0, generator)
        for step, (up, from_source, styled) in enumerate(
            zip(self.ups, self.noise_convs, self.noise_res, strict=True)
        ):
            x = up(snake(x, self.alphas[step])) + styled(from_source(source), style)
            ways = self.resblocks[step * self._ways : (step + 1) * self._ways]
            x = torch.stack([way(x, style) for way in ways]).mean(dim=0)
        return torch.tanh(self.conv_post(snake(x, self.alphas[len(self.ups)])))


class Decoder(nn.Module):
    """Features of what sounds when ``(batch, features, frames)``, F0 and energy ``(batch, 2 ×
    frames)`` and a style to a wave ``(batch, 1, samples)`` at 24 kHz."""

    def __init__(
        self,
        *,
        features: int,
        style: int,
        width: int = 1024,
        residual: int = 64,
        channels: int = 512,
        rates: Sequence[int] = (10, 5, 3, 2),
        kernels: Sequence[int] = (20, 10, 6, 4),
        residual_kernels: Sequence[int] = (3, 7, 11),
        dilations: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    ) -> None:
        super().__init__()
        wide = width + 2 + residual
        self.encode = AdaptiveResidual(features + 2, width, style)
        self.decode = nn.ModuleList(
            [
                *(AdaptiveResidual(wide, width, style) for _ in range(3)),
                AdaptiveResidual(wide, channels, style, upsample=True),
            ]
        )
        self.F0_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.N_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.asr_res = nn.Sequential(nn.Conv1d(features, residual, 1))
        self.generator = _Generator(
            style=style,
            channels=channels,
            rates=rates,
            kernels=kernels,
            residual_kernels=residual_kernels,
            dilations=dilations,
        )

    def forward(
        self,
        text: Tensor,
        f0: Tensor,
        energy: Tensor,
        style: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        pitch, loud = self.F0_conv(f0.unsqueeze(1)), self.N_conv(energy.unsqueeze(1))
        x = self.encode(torch.cat([text, pitch, loud], dim=1), style)
        said = self.asr_res(text)
        for block in self.decode:
            x = block(torch.cat([x, said, pitch, loud], dim=1), style)
        wave: Tensor = self.generator(x, style, f0, generator)
        return wave
