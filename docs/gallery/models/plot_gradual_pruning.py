"""
Pruning while training
======================

:class:`expandergraphs_torch.GradualPruning` removes ever more weights while a model trains, many at first and few at
the end. The other model loses as many at once, and has as many steps after that to recover. The data are 1,500 of
scikit-learn's 8 x 8 digits, tested on the other 297: small enough to run while you wait, and too small to rank
methods.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import expandergraphs_torch as egt
from expandergraphs.plotting import style
from expandergraphs.plotting_pruning import plot_sparsity, plot_threshold

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
x, y, x_test, y_test = x[:1500], y[:1500], x[1500:], y[1500:]
schedules = {
    "gradual": {"begin": 100, "end": 500, "every": 50},
    "at once": {"begin": 500, "end": 500, "every": 1},
}

histories, accuracies = {}, {}
for name, schedule in schedules.items():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 100),
        nn.ReLU(),
        nn.Linear(100, 50),
        nn.ReLU(),
        nn.Linear(50, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    pruning = egt.GradualPruning(model, final_density=0.03, optimizer=optimizer, **schedule)
    steps, measured = [], []
    for step in range(1, 701):
        optimizer.zero_grad()
        batch = torch.randint(len(x), (200,))
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        pruning.step()
        if step % 20 == 0:
            steps.append(step)
            measured.append(100 * (model(x_test).argmax(dim=1) == y_test).float().mean().item())
    histories[name], accuracies[name] = pruning.history, (steps, measured)

figure, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
plot_sparsity(histories, axes[0]).set_xlabel("")
plot_threshold(histories, axes[1]).set_xlabel("")
for k, (name, (steps, measured)) in enumerate(accuracies.items()):
    axes[2].plot(steps, measured, label=name, markevery=4, **style(k))
axes[2].set(xlabel="step", ylabel="test accuracy (%)", ylim=(0, 100))
axes[2].legend(loc="lower left")
plt.show()

for name, (_, measured) in accuracies.items():
    density = histories[name][-1].density
    print(f"{name}: {density:.1%} of the weights, accuracy {measured[-1]:.1f} %")

# %%
# The threshold is the smallest weight that was left: it rises as pruning moves on to weights that matter. Gradual
# pruning lets the rest take over before more goes. That iterative pruning beats one-time pruning was confirmed in
# larger runs (:doc:`/what-holds-up`).
