"""Right and wrong answers to problem set 6: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "gains": {
        "the other form of Riccati": (
            "M = Q + K.T @ R @ K + (A - B @ K).T @ M @ (A - B @ K)",
            "M = Q + A.T @ M @ A - A.T @ M @ B @ K",
        ),
        "filled from the back": """
def gains(A, B, Q, R, Z, H):
    K, M = [None] * H, np.array(Z, dtype=float)
    for t in range(H - 1, -1, -1):
        K[t] = np.linalg.inv(R + B.T @ M @ B) @ B.T @ M @ A
        M = Q + A.T @ M @ (A - B @ K[t])
    return K
""",
    },
    "adapted_model": {
        "made-up data": """
def adapted_model(X, U, X2, W0, reg):
    if reg == float("inf") or len(X) == 0:
        return W0
    Z = np.concatenate([X, U], axis=1)
    F = Z.shape[1]
    return np.linalg.lstsq(np.vstack([Z, reg**0.5 * np.eye(F)]), np.vstack([X2, reg**0.5 * W0.T]), rcond=None)[0].T
""",
        "row by row": """
def adapted_model(X, U, X2, W0, reg):
    if np.isinf(reg) or len(X) == 0:
        return W0.tolist()
    Z = np.hstack([X, U])
    G = np.linalg.inv(Z.T @ Z + reg * np.eye(Z.shape[1]))
    return [G @ (Z.T @ X2[:, d] + reg * W0[d]) for d in range(len(W0))]
""",
    },
    "careful_choice": {
        "sorted, from the largest": """
def careful_choice(regs, errors):
    M = len(errors)
    best = int(np.argmin(np.mean(errors, axis=0)))
    for j in np.argsort(regs)[::-1]:
        gap = errors[:, j] - errors[:, best]
        if j == best or gap.mean() <= np.sqrt(gap.var(ddof=1) / M):
            return float(regs[j])
""",
        "scipy": """
def careful_choice(regs, errors):
    from scipy.stats import sem
    gap = errors - errors[:, [errors.sum(axis=0).argmin()]]
    return np.asarray(regs)[gap.mean(axis=0) <= sem(gap, axis=0)].max()
""",
    },
}

WRONG = {
    "gains": {
        "order of time": ("backwards[::-1]", "backwards"),
        "starts from Q": ("M, backwards = Z, []", "M, backwards = Q, []"),
        "starts from 0": ("M, backwards = Z, []", "M, backwards = 0 * Z, []"),
        "the last gain for all": ("backwards[::-1]", "backwards[-1:] * H"),
        "the first gain for all": ("backwards[::-1]", "backwards[:1] * H"),
        "the sign": ("np.array(backwards[::-1])", "-np.array(backwards[::-1])"),
        "control is free": ("np.linalg.solve(R + B.T", "np.linalg.solve(1e-9 * R + B.T"),
        "R twice": ("np.linalg.solve(R +", "np.linalg.solve(2 * R +"),
        "without the cost of control later": ("K.T @ R @ K + ", ""),
        "without the cost of the state": ("M = Q + K.T", "M = K.T"),
        "plus instead of minus": ("(A - B @ K).T @ M @ (A - B @ K)", "(A + B @ K).T @ M @ (A + B @ K)"),
        "as if nothing were controlled later": ("(A - B @ K).T @ M @ (A - B @ K)", "A.T @ M @ A"),
        "one gain too few": ("range(H)", "range(H - 1)"),
        "one gain too many": ("range(H)", "range(H + 1)"),
        "A transposed": ("B.T @ M @ A)", "B.T @ M @ A.T)"),
        "M not updated": ("M = Q + K.T @ R @ K + (A - B @ K).T @ M @ (A - B @ K)", "M = M"),
        "the infinite horizon": (
            "for _ in range(H):",
            "for _ in range(300):\n        K = np.linalg.solve(R + B.T @ M @ B, B.T @ M @ A)\n"
            "        M = Q + K.T @ R @ K + (A - B @ K).T @ M @ (A - B @ K)\n    for _ in range(H):",
        ),
    },
    "adapted_model": {
        "pulls towards 0": ("left = X2 - Z @ W0.T\n    return W0 +", "left = X2\n    return"),
        "no spring": ("reg * np.eye", "1e-12 * np.eye"),
        "half a spring": ("reg * np.eye", "0.5 * reg * np.eye"),
        "two springs": ("reg * np.eye", "2 * reg * np.eye"),
        "the mean instead of the sum": ("reg * np.eye", "len(X) * reg * np.eye"),
        "the square of λ": ("reg * np.eye", "reg**2 * np.eye"),
        "∞ forgotten": ("np.isinf(reg) or ", "False or "),
        "the correction only": ("return W0 + np", "return np"),
        "the control forgotten": ("np.hstack([X, U])", "np.hstack([X, 0 * U])"),
        "control before state": ("np.hstack([X, U])", "np.hstack([U, X])"),
        "the old model": ("left = X2 - Z @ W0.T\n", "return W0\n    left = 0\n"),
        "not transposed at the end": ("Z.T @ left).T", "Z.T @ left)"),
        "predicts the change": ("left = X2 -", "left = X2 - X -"),
        "minus the correction": ("return W0 + np", "return W0 - np"),
        "the spring on the controls only": (
            "np.eye(Z.shape[1])",
            "np.diag([0.0] * X.shape[1] + [1.0] * U.shape[1])",
        ),
        "halfway between both": ("return W0 + np", "return W0 + 0.5 * np"),
    },
    "careful_choice": {
        "the smallest mean": ("return max(reg for reg, ok in zip(regs, allowed) if ok)", "return regs[best]"),
        "the smallest coefficient": ("return max(", "return min("),
        "the largest of all": ("zip(regs, allowed) if ok", "zip(regs, allowed)"),
        "a deviation instead of an error": (" / np.sqrt(len(errors))", ""),
        "two errors": ("worse.std(axis=0, ddof=1)", "2 * worse.std(axis=0, ddof=1)"),
        "M below the sum": ("ddof=1", "ddof=0"),
        "not paired": ("worse.std(axis=0, ddof=1)", "errors.std(axis=0, ddof=1)"),
        "not paired, best's error": ("worse.std(axis=0, ddof=1)", "errors[:, best].std(ddof=1)"),
        "its place instead of the coefficient": (
            "max(reg for reg, ok in zip(regs, allowed) if ok)",
            "int(np.flatnonzero(allowed)[-1])",
        ),
        "the last in the list": (
            "max(reg for reg, ok in zip(regs, allowed) if ok)",
            "regs[np.flatnonzero(allowed)[-1]]",
        ),
        "the worst one": ("argmin()", "argmax()"),
        "∞ left out": ("if ok)", "if ok and np.isfinite(reg))"),
        "most tasks decide": (
            "worse.mean(axis=0) <= worse.std(axis=0, ddof=1) / np.sqrt(len(errors))",
            "(worse <= 0).mean(axis=0) >= 0.5",
        ),
        "within a tenth": ("worse.std(axis=0, ddof=1) / np.sqrt(len(errors))", "0.1"),
        "divided by M": ("np.sqrt(len(errors))", "len(errors)"),
        "medians": ("errors.mean(axis=0).argmin()", "np.median(errors, axis=0).argmin()"),
        "the mean of what is allowed": (
            "max(reg for reg, ok in zip(regs, allowed) if ok)",
            "np.mean(regs[allowed])",
        ),
        "the largest, clearly worse or not, below the best": ("if ok)", "if reg >= regs[best])"),
    },
}
