"""Says, before the first step, which parts of the model learn and how fast."""

from lightning.pytorch import Callback, LightningModule, Trainer


class ParameterTable(Callback):
    """Prints each named optimizer group with its trainable count and learning rate, and what is frozen."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for line in parameter_table(trainer, pl_module):
            trainer.print(line)


def parameter_table(trainer: Trainer, pl_module: LightningModule) -> list[str]:
    """The lines of the table. Groups of one name and rate (as with and without decay) share one.

    The rate is the one that the schedule starts from, not that of the first step of a warm-up.
    """
    counts: dict[tuple[str, float], int] = {}
    for number, group in enumerate(
        group for optimizer in trainer.optimizers for group in optimizer.param_groups
    ):
        key = (group.get("name", f"group {number}"), float(group.get("initial_lr", group["lr"])))
        trainable = sum(parameter.numel() for parameter in group["params"] if parameter.requires_grad)
        counts[key] = counts.get(key, 0) + trainable
    frozen = sum(parameter.numel() for parameter in pl_module.parameters() if not parameter.requires_grad)
    rows = [(name, f"{count:,}", f"{rate:.2e}") for (name, rate), count in counts.items()]
    rows.append(("frozen", f"{frozen:,}", ""))
    width = max(len(name) for name, _, _ in rows)
    header = f"{'part':<{width}}  {'parameters':>15}  {'learning rate':>13}"
    return [header, *(f"{name:<{width}}  {count:>15}  {rate:>13}".rstrip() for name, count, rate in rows)]
