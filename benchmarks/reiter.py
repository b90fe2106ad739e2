"""Tables 1 to 3 of Reiter 2012, made again: `python benchmarks/reiter.py`.

Reiter, Bayesian finite population imputation for data fusion. 500 records have X, Y and 400 others X, Z of a trivariate
normal; Y and Z are completed with a posited partial correlation (Raessler 2003) and pooled by the project's rules:
Rubin's (Table 1), completed populations (Table 2), completed populations of shared synthetic files (Table 3).

Completed populations enter estimates by their means and cross-products only. Those of the 100,000 records outside the
sample are drawn directly, from their normal and Wishart distributions (Bartlett 1933), which is the same as drawing the
records.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.inference.pooling import confidential, finite_population, rubin

N1, N2, OUTSIDE, M, R = 500, 400, 100_000, 10, 5
COVARIANCE = np.array([[1, 0.3, 0.8], [0.3, 1, 0.4], [0.8, 0.4, 1]])
RHO = 0.2795
NAMES = [r"βYZ\|X", r"βYX\|Z", r"βXY\|Z", r"βXZ\|Y", "µY", "µZ"]
PUBLISHED = {
    1: ([0.0007, 0.0024, 0.0004, 0.0008, 0.0019, 0.0017], [0.0056, 0.0057, 0.0010, 0.0009, 0.0020, 0.0017],
        [1.000, 0.997, 0.997, 0.963, 0.949, 0.942]),
    2: ([0.0005, 0.0025, 0.0004, 0.0009, 0.0023, 0.0017], [0.0005, 0.0025, 0.0004, 0.0009, 0.0022, 0.0018],
        [0.944, 0.942, 0.957, 0.953, 0.949, 0.962]),
    3: ([0.0006, 0.0024, 0.0004, 0.0011, 0.0021, 0.0019], [0.0006, 0.0025, 0.0004, 0.0010, 0.0020, 0.0020],
        [0.932, 0.951, 0.953, 0.932, 0.941, 0.951]),
}  # fmt: skip
"""Reiter's variance of the estimate, average estimate of it (of W in Table 2), and coverage of 95 % intervals."""


@dataclass
class Found:
    """What the runs gave, an array of the six estimands each."""

    truth: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    """Variance of the pooled estimate over runs."""
    estimated: np.ndarray
    """Average estimate of it; in Table 2 of W, which the paper prints."""
    coverage: np.ndarray


@dataclass
class Posterior:
    """Drawn parameters of Y | X and Z | X, m of each."""

    y: np.ndarray
    z: np.ndarray
    sd_y: np.ndarray
    sd_z: np.ndarray


def reproduce(number: int, runs: int = 1000, seed: int = 1, rho: float = RHO, covariance=COVARIANCE) -> Found:
    """Run the simulation behind one of the tables."""
    random = np.random.default_rng([seed, number])
    covariance = np.asarray(covariance, dtype=float)
    truth = _estimands(np.pad(covariance, ((1, 0), (1, 0))) + np.diag([1.0, 0, 0, 0]), 1.0)[0]
    factor = np.linalg.cholesky(covariance)
    estimates, variances, covered = [], [], []
    for _ in range(runs):
        x, y, z = (random.normal(size=(N1 + N2, 3)) @ factor.T).T
        x1, x2, y1, z2 = x[:N1], x[N1:], y[:N1], z[N1:]
        if number == 1:
            drawn = _draw(x1, y1, x2, z2, M, random)
            q, u = _estimands(_completed(x1, y1, x2, z2, drawn, rho, random), N1 + N2)
            pooled = rubin(q, u)
        elif number == 2:
            q = _populations(x1, y1, x2, z2, rho, random)
            pooled = finite_population(q)
        else:
            # Owner 2 shares R copies with Z drawn anew from f(Z | D2) instead of its own.
            model, sd = _regression(x2, z2, R, random)
            copies = model[:, :1] + model[:, 1:] * x2 + sd[:, None] * random.normal(size=(R, N2))
            pooled = confidential(np.stack([_populations(x1, y1, x2, z, rho, random) for z in copies]))
        low, high = pooled.interval(0.95)
        estimates.append(pooled.estimate)
        variances.append(pooled.between if number == 2 else pooled.variance)
        covered.append((low <= truth) & (truth <= high))
    q = np.array(estimates)
    return Found(
        truth, q.mean(axis=0), q.var(axis=0, ddof=1), np.mean(variances, axis=0), np.mean(covered, axis=0)
    )


def _regression(x, y, m, random):
    """Draw m times coefficients (m, 2) and residual deviation (m,) from the posterior under a flat prior."""
    design = np.column_stack([np.ones_like(x), x])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    left = y - design @ beta
    sd = np.sqrt(left @ left / random.chisquare(len(x) - 2, m))
    return beta + sd[:, None] * (random.normal(size=(m, 2)) @ np.linalg.cholesky(inverse).T), sd


def _draw(x1, y1, x2, z2, m, random):
    y, sd_y = _regression(x1, y1, m, random)
    z, sd_z = _regression(x2, z2, m, random)
    return Posterior(y, z, sd_y, sd_z)


def _completed(x1, y1, x2, z2, drawn, rho, random):
    """Complete both files m times (steps 2.4 and 2.5); cross-products of (1, X, Y, Z), (m, 4, 4)."""
    m = len(drawn.sd_y)
    noise = np.sqrt(1 - rho**2)
    y_at = lambda x: drawn.y[:, :1] + drawn.y[:, 1:] * x  # noqa: E731
    z_at = lambda x: drawn.z[:, :1] + drawn.z[:, 1:] * x  # noqa: E731
    sd_y, sd_z = drawn.sd_y[:, None], drawn.sd_z[:, None]
    y2 = y_at(x2) + rho * sd_y / sd_z * (z2 - z_at(x2)) + noise * sd_y * random.normal(size=(m, len(x2)))
    z1 = z_at(x1) + rho * sd_z / sd_y * (y1 - y_at(x1)) + noise * sd_z * random.normal(size=(m, len(x1)))
    x = np.broadcast_to(np.concatenate([x1, x2]), (m, len(x1) + len(x2)))
    y = np.concatenate([np.broadcast_to(y1, (m, len(y1))), y2], axis=1)
    z = np.concatenate([z1, np.broadcast_to(z2, (m, len(z2)))], axis=1)
    rows = np.stack([np.ones_like(x), x, y, z], axis=1)
    return rows @ rows.transpose(0, 2, 1)


def _populations(x1, y1, x2, z2, rho, random):
    """Estimands in M completed populations (steps 3.1 to 3.4)."""
    drawn = _draw(x1, y1, x2, z2, M, random)
    inside = _completed(x1, y1, x2, z2, drawn, rho, random)
    x = np.concatenate([x1, x2])
    sd_x = np.sqrt(x.var() * len(x) / random.chisquare(len(x) - 1, M))
    mean_x = x.mean() + sd_x / np.sqrt(len(x)) * random.normal(size=M)
    # (X, Y, Z) = centre + A e, with e three independent normals.
    a = np.zeros((M, 3, 3))
    a[:, 0, 0] = sd_x
    a[:, 1, 0], a[:, 1, 1] = drawn.y[:, 1] * sd_x, drawn.sd_y
    a[:, 2, 0], a[:, 2, 1] = drawn.z[:, 1] * sd_x, rho * drawn.sd_z
    a[:, 2, 2] = np.sqrt(1 - rho**2) * drawn.sd_z
    centre = np.stack(
        [mean_x, drawn.y[:, 0] + drawn.y[:, 1] * mean_x, drawn.z[:, 0] + drawn.z[:, 1] * mean_x], axis=1
    )
    triangle = np.tril(random.normal(size=(M, 3, 3)), -1)
    for k in range(3):
        triangle[:, k, k] = np.sqrt(random.chisquare(OUTSIDE - 1 - k, M))
    root = a @ triangle
    mean = centre + (a @ random.normal(size=(M, 3, 1)))[..., 0] / np.sqrt(OUTSIDE)
    outside = np.empty((M, 4, 4))
    outside[:, 0, 0] = OUTSIDE
    outside[:, 0, 1:] = outside[:, 1:, 0] = OUTSIDE * mean
    outside[:, 1:, 1:] = root @ root.transpose(0, 2, 1) + OUTSIDE * mean[:, :, None] * mean[:, None, :]
    return _estimands(inside + outside, len(x) + OUTSIDE)[0]


def _estimands(products, n):
    """Six estimates (..., 6) and their least squares variances from cross-products of (1, X, Y, Z)."""
    q, u = [], []
    for outcome, terms, wanted in ((2, [0, 1, 3], (2, 1)), (1, [0, 2, 3], (1, 2))):
        inner = products[..., terms, :][..., :, terms]
        cross = products[..., terms, outcome]
        inverse = np.linalg.inv(inner)
        beta = (inverse @ cross[..., None])[..., 0]
        left = (products[..., outcome, outcome] - (beta * cross).sum(axis=-1)) / max(n - 3, 1)
        q += [beta[..., k] for k in wanted]
        u += [left * inverse[..., k, k] for k in wanted]
    for k in (2, 3):
        mean = products[..., 0, k] / products[..., 0, 0]
        q.append(mean)
        u.append((products[..., k, k] / products[..., 0, 0] - mean**2) / max(n - 1, 1))
    return np.stack(q, axis=-1), np.stack(u, axis=-1)


def main() -> None:
    """Print each table beside the published one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for number, (variance, estimated, coverage) in PUBLISHED.items():
        found = reproduce(number, asked.runs, asked.seed)
        print(f"\nTable {number}, {asked.runs:,} runs (in parentheses: Reiter 2012)\n")
        print(
            "| estimand | truth | mean | variance | estimated | 95 % interval covers |\n|---|---|---|---|---|---|"
        )
        for k, name in enumerate(NAMES):
            print(
                f"| {name} | {found.truth[k]:.4f} | {found.mean[k]:.4f} "
                f"| {found.variance[k]:.5f} ({variance[k]:.4f}) | {found.estimated[k]:.5f} ({estimated[k]:.4f}) "
                f"| {found.coverage[k]:.1%} ({coverage[k]:.1%}) |"
            )
    print("\nTable 1 repeated: average estimated variance over variance\n")
    print(f"| scenario | {' | '.join(NAMES)} |\n|---|{'---|' * len(NAMES)}")
    for label, rho, covariance in (
        ("ρ = 0", 0.0, _with_partial(0.0)),
        ("ρ = 0.9", 0.9, _with_partial(0.9)),
        ("independent, ρ = 0", 0.0, np.eye(3)),
    ):
        found = reproduce(1, asked.runs, asked.seed, rho, covariance)
        print(f"| {label} | {' | '.join(f'{r:.2f}' for r in found.estimated / found.variance)} |")


def _with_partial(rho: float) -> np.ndarray:
    covariance = COVARIANCE.copy()
    covariance[1, 2] = covariance[2, 1] = 0.3 * 0.8 + rho * np.sqrt((1 - 0.3**2) * (1 - 0.8**2))
    return covariance


if __name__ == "__main__":
    main()
