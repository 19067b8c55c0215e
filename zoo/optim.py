"""The optimiser that most papers of the zoo use, with arguments that a command line can set one by one."""

from typing import Any

import torch


class Adam(torch.optim.Adam):
    """`torch.optim.Adam` with scalar betas, the defaults of DCGAN (Radford et al. 2016), and the fused kernel.

    `beta1` and `beta2` are separate so that YAML, the command line and sweeps can set either, and so that a variant's
    default survives a round trip through a configuration file. Any other optimiser is given by its class path.

    Args:
        params: what to optimise.
        lr: learning rate.
        beta1: decay of the first moment. WGAN-GP and SNGAN use 0.
        beta2: decay of the second moment.
        eps: added to the root of the second moment.
        weight_decay: L2 penalty, added to the gradient.
        fused: one kernel for all parameters; the numbers differ from the plain loop by rounding.
    """

    def __init__(
        self, params: Any, lr: float = 2e-4, beta1: float = 0.5, beta2: float = 0.999, eps: float = 1e-8,
        weight_decay: float = 0.0, fused: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=fused)
