"""Right and wrong answers to problem set 2: whole answers, or (old, new) to replace in the solution."""

RIGHT = {
    "regret_curve": {
        "loops": """
def regret_curve(means, arms):
    N, T = len(arms), len(arms[0])
    best, curve, error = max(means), [], []
    for t in range(T):
        so_far = [sum(best - means[k] for k in run[: t + 1]) for run in arms]
        m = sum(so_far) / N
        curve.append(m)
        error.append((sum((x - m) ** 2 for x in so_far) / (N - 1) / N) ** 0.5)
    return curve, error
""",
        "a matrix of two rows": (
            "return regret.mean(axis=0), regret.std(axis=0, ddof=1) / np.sqrt(len(arms))",
            "return np.array([regret.mean(0), np.sqrt(regret.var(0, ddof=1) / len(arms))])",
        ),
    },
    "optimist": {
        "an array": ("return diary", "return np.array(diary, dtype=float)"),
        "running means": """
def optimist(table, c):
    T, K = len(table), len(table[0])
    count, mean, out = [0] * K, [0.0] * K, []
    for t in range(T):
        k = t if t < K else max(range(K), key=lambda j: mean[j] + c * (np.log(t) / count[j]) ** 0.5)
        count[k] += 1
        mean[k] += (table[t][k] - mean[k]) / count[k]
        out.append(k)
    return out
""",
    },
    "chance_better": {
        "scipy": """
def chance_better(wins, losses):
    from scipy.special import betainc
    x = (np.arange(5000) + 0.5) / 5000
    one = np.diff(betainc(wins[0] + 1, losses[0] + 1, np.linspace(0, 1, 5001)))
    return one @ betainc(wins[1] + 1, losses[1] + 1, x)
""",
        "a coarse square": """
def chance_better(wins, losses):
    x = (np.arange(1000) + 0.5) / 1000
    one, two = (x**w * (1 - x) ** m for w, m in zip(wins, losses))
    square = np.outer(one / one.sum(), two / two.sum())
    return np.tril(square, -1).sum() + np.trace(square) / 2
""",
        "the left ends of the grid": (" - density[1] / 2", ""),
    },
    "three_numbers": {
        "loops": """
def three_numbers(ratios, returns):
    top = below = square = 0.0
    for episode, G in zip(ratios, returns):
        rho = 1.0
        for x in episode:
            rho *= x
        top, below, square = top + rho * G, below + rho, square + rho * rho
    if below == 0:
        return [0, 0, 0]
    return [top / len(returns), top / below, below * below / square]
""",
        "an array": (
            "return ordinary, weighted, rho.sum() ** 2 / (rho**2).sum()",
            "return np.array([ordinary, weighted, 1 / ((rho / rho.sum()) ** 2).sum()])",
        ),
    },
}

WRONG = {
    "regret_curve": {
        "of each step, not so far": (
            "np.cumsum(means.max() - means[arms], axis=1)",
            "means.max() - means[arms]",
        ),
        "summed over the runs": (
            "np.cumsum(means.max() - means[arms], axis=1)",
            "np.cumsum(means.max() - means[arms], axis=0)",
        ),
        "the best of the pulled arms": ("means.max() - means[arms]", "means[arms].max() - means[arms]"),
        "the wrong way round": ("means.max() - means[arms]", "means[arms] - means.max()"),
        "against the average arm": ("means.max()", "means.mean()"),
        "N inside s": ("ddof=1", "ddof=0"),
        "s without the root of N": (" / np.sqrt(len(arms))", ""),
        "divided by N": ("np.sqrt(len(arms))", "len(arms)"),
        "root of T": ("np.sqrt(len(arms))", "np.sqrt(arms.shape[1])"),
        "the sum over runs": ("regret.mean(axis=0)", "regret.sum(axis=0)"),
        "the mean regret so far": (
            "return regret.mean(axis=0)",
            "return regret.mean(axis=0) / np.arange(1, arms.shape[1] + 1)",
        ),
        "variance": ("regret.std(axis=0, ddof=1)", "regret.var(axis=0, ddof=1)"),
        "error of one step": ("regret.std(axis=0, ddof=1)", "means[arms].std(axis=0, ddof=1)"),
        "the last number only": ("regret.mean(axis=0)", "regret.mean(axis=0)[-1]"),
    },
    "optimist": {
        "steps from 1": ("np.log(n)", "np.log(n + 1)"),
        "c inside the root": ("c * np.sqrt(np.log(n) / pulls)", "np.sqrt(c * np.log(n) / pulls)"),
        "without the root": ("np.sqrt(np.log(n) / pulls)", "np.log(n) / pulls"),
        "without the logarithm": ("np.log(n)", "n"),
        "sums instead of means": ("sums / pulls +", "sums +"),
        "greedy": (" + c * np.sqrt(np.log(n) / pulls)", ""),
        "a pessimist": ("+ c *", "- c *"),
        "exploring for its own sake": ("sums / pulls + ", ""),
        "the first arm first, then the formula": (
            "if n < len(pulls):",
            "pulls = np.maximum(pulls, 1e-9)\n        if n < 1:",
        ),
        "two rounds of all arms": (
            "if n < len(pulls):\n            k = n",
            "if n < 2 * len(pulls):\n            k = n % len(pulls)",
        ),
        "two, as some books have it": ("np.sqrt(np.log(n) / pulls)", "np.sqrt(2 * np.log(n) / pulls)"),
        "every arm learns": ("sums[k] += table[n, k]", "sums += table[n]"),
        "the last reward instead of the mean": ("sums[k] += table[n, k]", "sums[k] = table[n, k] * pulls[k]"),
        "rewards instead of arms": ("diary.append(k)", "diary.append(table[n, k])"),
        "logarithm to base ten": ("np.log(n)", "np.log10(n)"),
        "backwards through the table": ("table[n, k]", "table[-1 - n, k]"),
    },
    "chance_better": {
        "the wrong way round": (
            "return float((density[0] * below).sum())",
            "return 1 - float((density[0] * below).sum())",
        ),
        "without the uniform prior": (
            "w * np.log(x) + m * np.log(1 - x)",
            "(w - 1) * np.log(x) + (m - 1) * np.log(1 - x)",
        ),
        "one win too many": ("w * np.log(x)", "(w + 1) * np.log(x)"),
        "counted twice": ("w * np.log(x) + m * np.log(1 - x)", "2 * (w * np.log(x) + m * np.log(1 - x))"),
        "wins only": (" + m * np.log(1 - x)", ""),
        "losses are pulls": ("m * np.log(1 - x)", "(m - w) * np.log(1 - x)"),
        "compares the means": (
            "return float((density[0] * below).sum())",
            "a, b = ((w + 1) / (w + m + 2) for w, m in zip(wins, losses))\n    return float(a > b) if a != b else 0.5",
        ),
        "the share of the means": (
            "return float((density[0] * below).sum())",
            "a, b = ((w + 1) / (w + m + 2) for w, m in zip(wins, losses))\n    return a / (a + b)",
        ),
        "a normal approximation": (
            "return float((density[0] * below).sum())",
            """from math import erf
    a, b = ((w + 1) / (w + m + 2) for w, m in zip(wins, losses))
    u, v = (m * (1 - m) / (n + 3) for m, n in zip((a, b), (wins[0] + losses[0], wins[1] + losses[1])))
    return 0.5 + erf((a - b) / (2 * (u + v)) ** 0.5) / 2""",
        ),
        "p above the mean of q": (
            "(density[0] * below).sum()",
            "density[0][x > (density[1] * x).sum()].sum()",
        ),
        "a very coarse grid": ("20000", "5"),
        "few draws": """
def chance_better(wins, losses):
    rng = np.random.default_rng(1)
    p, q = (rng.beta(w + 1, m + 1, size=500) for w, m in zip(wins, losses))
    return (p > q).mean()
""",
        "arm one twice": ("zip(wins, losses)", "zip([wins[0]] * 2, losses)"),
    },
    "three_numbers": {
        "the mean of an episode's ratios": ("np.prod(episode)", "np.mean(episode)"),
        "the sum": ("np.prod(episode)", "np.sum(episode)"),
        "the last ratio": ("np.prod(episode)", "episode[-1]"),
        "the first ratio": ("np.prod(episode)", "episode[0]"),
        "upside down": ("np.prod(episode)", "1 / np.prod(np.maximum(episode, 1e-9))"),
        "clipped at 1": ("np.prod(episode)", "min(np.prod(episode), 1.0)"),
        "ordinary and weighted swapped": ("return ordinary, weighted,", "return weighted, ordinary,"),
        "weighted by the number of episodes": ("/ rho.sum()\n", "/ len(rho)\n"),
        "ordinary without zero weights": ("(rho * returns).mean()", "(rho * returns)[rho > 0].mean()"),
        "unweighted": ("ordinary = (rho * returns).mean()", "ordinary = np.mean(returns)"),
        "number of weights above zero": ("rho.sum() ** 2 / (rho**2).sum()", "(rho > 0).sum()"),
        "sum without the square": ("rho.sum() ** 2 / (rho**2).sum()", "rho.sum() / (rho**2).sum()"),
        "square of the mean": ("rho.sum() ** 2 / (rho**2).sum()", "rho.mean() ** 2 / (rho**2).mean()"),
        "the sum of the weights": ("rho.sum() ** 2 / (rho**2).sum()", "rho.sum()"),
        "nan when nobody agrees": ("if not rho.any():", "if False:"),
    },
}
