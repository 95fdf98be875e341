"""Oracles of Newton's method and least squares: whole paths, for these methods ask the loss for more than its gradient."""

import numpy as np


def newton(start, gradient, hessian, steps, damping=0.0):
    """Full steps against the Hessian with its eigenvalues made positive; Nocedal & Wright 2006, section 3.4."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        values, vectors = np.linalg.eigh(hessian(x))
        x = x - vectors @ ((vectors.T @ gradient(x)) / (np.abs(values) + damping))
        path.append(x)
    return np.stack(path)


def newton_cg(start, gradient, hessian, steps):
    """Nocedal & Wright 2006, Algorithm 7.1, with full steps."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        g, b = gradient(x), hessian(x)
        norm = np.sqrt(g @ g)
        z, r, d = np.zeros_like(g), g, -g
        for j in range(g.size):
            curvature = d @ b @ d
            if curvature <= 0:
                z = d * (g @ g) / abs(curvature) if j == 0 else z
                break
            alpha = r @ r / curvature
            z, new = z + alpha * d, r + alpha * b @ d
            if np.sqrt(new @ new) <= min(0.5, np.sqrt(norm)) * norm:
                break
            d, r = -new + (new @ new) / (r @ r) * d, new
        x = x + z
        path.append(x)
    return np.stack(path)


def gauss_newton(start, residuals, jacobian, steps):
    """Full steps of linear least squares; Nocedal & Wright 2006, section 10.3."""
    x = np.asarray(start, float)
    path = [x]
    for _ in range(steps):
        x = x - np.linalg.pinv(jacobian(x)) @ residuals(x)
        path.append(x)
    return np.stack(path)


def levenberg_marquardt(start, residuals, jacobian, steps, initial_damping=1e-3):
    """Madsen, Nielsen & Tingleff 2004, Algorithm 3.16, by normal equations, in the scale D of More 1978.

    A refused step repeats the point.
    """
    x = np.asarray(start, float)
    mu, nu, path, longest = initial_damping, 2.0, [x], np.zeros(x.size)
    for _ in range(steps):
        r, j = residuals(x), jacobian(x)
        longest = np.maximum(longest, np.sqrt(np.sum(j * j, axis=0)))
        d_squared = np.diag(np.where(longest > 0, longest, 1) ** 2)
        g = j.T @ r
        h = np.linalg.solve(j.T @ j + mu * d_squared, -g)
        new = residuals(x + h)
        with np.errstate(invalid="ignore"):  # 0/0 at the solution: refused
            rho = (r @ r - new @ new) / (h @ (mu * d_squared @ h - g))
        if rho > 0:
            x, mu, nu = x + h, mu * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2.0
        else:
            mu, nu = mu * nu, 2 * nu
        path.append(x)
    return np.stack(path)
