"""The published scaling laws, as functions of compute, parameters and tokens.

Every function takes and gives float64 numbers or arrays. C = 6·N·D: a token costs 2 operations a parameter forwards
and 4 backwards (Kaplan et al. 2020, section 2.1; attention over the context is left out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

PER_TOKEN = 6  # operations a parameter, forwards and backwards
PF_DAY = 1e15 * 86_400  # operations of one petaFLOP/s-day: 8.64·10¹⁹


def compute(parameters: ArrayLike, tokens: ArrayLike) -> Floats:
    """C = 6·N·D operations."""
    result: Floats = PER_TOKEN * np.asarray(parameters, float) * np.asarray(tokens, float)
    return result


def pf_days(operations: ArrayLike) -> Floats:
    """Operations in petaFLOP/s-days of 8.64·10¹⁹."""
    return np.asarray(operations, float) / PF_DAY


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """N_opt = k·C^a, as the published table of one approach has it: fitted by least squares to its rows in log-log.

    `rows` are the table's (parameters, operations).
    """

    name: str
    source: str
    note: str
    rows: tuple[tuple[float, float], ...]

    @property
    def exponent(self) -> float:
        """The power a of N_opt = k·C^a."""
        return float(self._line()[0])

    @property
    def coefficient(self) -> float:
        """The factor k of N_opt = k·C^a."""
        return float(np.exp(self._line()[1]))

    def _line(self) -> Floats:
        parameters, operations = np.log(np.array(self.rows)).T
        return np.polyfit(operations, parameters, 1)

    def optimal_parameters(self, operations: ArrayLike) -> Floats:
        """k·C^a."""
        slope, offset = self._line()
        result: Floats = np.exp(offset + slope * np.log(np.asarray(operations, float)))
        return result

    def formula(self) -> str:
        """N_opt with its constants."""
        return f"N = {self.optimum()}"

    def optimum(self) -> str:
        """What N_opt is, with its constants."""
        return f"{self.coefficient:.4g} · C^{self.exponent:.3f}"


@dataclass(frozen=True, slots=True)
class ParametricLaw:
    """L(N, D) = E + A / N^α + B / D^β (Hoffmann et al. 2022, equation 10), in nats a token of the law's own data."""

    name: str
    source: str
    note: str
    irreducible: float  # E
    size: float  # A
    alpha: float
    data: float  # B
    beta: float

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """E + A / N^α + B / D^β."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        return self.irreducible + self.size * n**-self.alpha + self.data * d**-self.beta

    def optimal_parameters(self, operations: ArrayLike) -> Floats:
        """N = G·(C/6)^(β/(α+β)), G = (αA/βB)^(1/(α+β)) (Hoffmann et al. 2022, equation 4)."""
        result: Floats = self.ratio * (np.asarray(operations, float) / PER_TOKEN) ** self.exponent
        return result

    @property
    def ratio(self) -> float:
        """The factor G of N_opt."""
        return float((self.alpha * self.size / (self.beta * self.data)) ** (1 / (self.alpha + self.beta)))

    @property
    def exponent(self) -> float:
        """The power a = β / (α + β) of N_opt."""
        return self.beta / (self.alpha + self.beta)

    def optimum(self) -> str:
        """What N_opt is, with its constants."""
        return f"{self.ratio:.4g} · (C / 6)^{self.exponent:.4f}"

    def tokens_for(self, loss: float, parameters: ArrayLike) -> Floats:
        """D = (B / (L − E − A/N^α))^(1/β); infinite where the model is too small for `loss`."""
        left = loss - self.irreducible - self.size * np.asarray(parameters, float) ** -self.alpha
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(left > 0, (self.data / np.where(left > 0, left, 1.0)) ** (1 / self.beta), np.inf)

    def formula(self) -> str:
        """The loss with its constants."""
        return (
            f"L = {self.irreducible:.4g} + {self.size:.5g} / N^{self.alpha:.4g} + {self.data:.6g} / D^{self.beta:.4g}"
        )


@dataclass(frozen=True, slots=True)
class KaplanLaw:
    """Kaplan et al. 2020: N_opt = 1.3·10⁹ · C^0.73 (table 6), L(N, D) = ((N_c/N)^(α_N/α_D) + D_c/D)^α_D (equation 1.5).

    C in petaFLOP/s-days, N without embeddings; constants of the loss from their table 2. Their fits of the loss and of
    the optimum are separate ones: this optimum is not where this loss is lowest.
    """

    name: str
    source: str
    note: str
    coefficient: float = 1.3e9
    exponent: float = 0.73
    alpha_size: float = 0.076
    alpha_data: float = 0.103
    critical_size: float = 6.4e13
    critical_data: float = 1.8e13

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """((N_c/N)^(α_N/α_D) + D_c/D)^α_D."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        terms = (self.critical_size / n) ** (self.alpha_size / self.alpha_data) + self.critical_data / d
        result: Floats = terms**self.alpha_data
        return result

    def optimal_parameters(self, operations: ArrayLike) -> Floats:
        """1.3·10⁹ · C^0.73, C in petaFLOP/s-days."""
        result: Floats = self.coefficient * pf_days(operations) ** self.exponent
        return result

    def tokens_for(self, loss: float, parameters: ArrayLike) -> Floats:
        """D = D_c / (L^(1/α_D) − (N_c/N)^(α_N/α_D)); infinite where the model is too small for `loss`."""
        size = (self.critical_size / np.asarray(parameters, float)) ** (self.alpha_size / self.alpha_data)
        left = loss ** (1 / self.alpha_data) - size
        return np.where(left > 0, self.critical_data / np.where(left > 0, left, 1.0), np.inf)

    def formula(self) -> str:
        """N_opt with its constants."""
        return f"N = {self.optimum()}"

    def optimum(self) -> str:
        """What N_opt is, with its constants."""
        return f"{self.coefficient:.3g} · (C / 8.64e19)^{self.exponent}"


Law: TypeAlias = PowerLaw | ParametricLaw | KaplanLaw
LossLaw: TypeAlias = ParametricLaw | KaplanLaw


def optimal_tokens(law: Law, operations: ArrayLike) -> Floats:
    """D = C / (6·N_opt)."""
    result: Floats = np.asarray(operations, float) / (PER_TOKEN * law.optimal_parameters(operations))
    return result


_HOFFMANN = "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv:2203.15556"
_SIZES = (400e6, 1e9, 10e9, 67e9, 175e9, 280e9, 520e9, 1e12, 10e12)

APPROACH_1 = PowerLaw(
    "Chinchilla, approach 1",
    f"{_HOFFMANN}, table 3",
    "From the envelope of training curves; a = 0.50 in their table 2. A line through their table, which it meets within"
    " 1.3 %: the constant itself is not printed.",
    tuple(zip(_SIZES, (1.92e19, 1.21e20, 1.23e22, 5.76e23, 3.85e24, 9.90e24, 3.43e25, 1.27e26, 1.30e28), strict=True)),
)
APPROACH_2 = PowerLaw(
    "Chinchilla, approach 2",
    f"{_HOFFMANN}, table A3",
    "From parabolas through runs of equal compute; a = 0.49 in their table 2. A line through their table, which it"
    " meets within 3.4 %: the constant itself is not printed.",
    tuple(zip(_SIZES, (1.84e19, 1.20e20, 1.32e22, 6.88e23, 4.54e24, 1.18e25, 4.19e25, 1.59e26, 1.75e28), strict=True)),
)
APPROACH_3 = ParametricLaw(
    "Chinchilla, approach 3",
    f"{_HOFFMANN}, equation 10, with the digits of the paper's TeX source",
    "Its table A3 is met within 8 %, and the 40 billion parameters at Gopher's budget of figure 4. Besiroglu et al."
    " (2024) found that this fit had stopped before it converged.",
    irreducible=1.6933737,  # exp(0.5267228)
    size=406.40102,  # exp(6.0073404)
    alpha=0.33917084,
    data=410.72283,  # exp(6.0179186)
    beta=0.2849083,
)
APPROACH_3_PRINTED = ParametricLaw(
    "Chinchilla, approach 3, as printed",
    f"{_HOFFMANN}, equation 10",
    "The two digits of the exponents that the paper prints are not enough: optima come out 18 to 30 % below its own"
    " table A3.",
    irreducible=1.69,
    size=406.4,
    alpha=0.34,
    data=410.7,
    beta=0.28,
)
REPLICATION = ParametricLaw(
    "Chinchilla, replicated 2024",
    "Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102, equation 4",
    "Approach 3 fitted again to data read off the paper's figure: agrees with approaches 1 and 2, about 20 tokens a"
    " parameter. Standard errors: E 0.03, A 125, B 1,293, α 0.02, β 0.02.",
    irreducible=1.8172,
    size=482.01,
    alpha=0.3478,
    data=2085.43,
    beta=0.3658,
)
KAPLAN = KaplanLaw(
    "Kaplan et al. 2020",
    "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv:2001.08361, tables 2 and 6, equation 1.5",
    "Parameters without embeddings, C at a batch far below the critical one, losses on WebText2. Runs shared one"
    " learning-rate schedule, which Hoffmann et al. name as the reason for its larger models.",
)
LAWS: tuple[Law, ...] = (REPLICATION, APPROACH_1, APPROACH_2, APPROACH_3, APPROACH_3_PRINTED, KAPLAN)
LOSS_LAWS: tuple[LossLaw, ...] = (REPLICATION, APPROACH_3, APPROACH_3_PRINTED, KAPLAN)
