"""`python train.py --config stage2.yaml --plan`: from a sketch of a run to the page that tells of it."""

from collections.abc import Sequence

from training.plan.advice import Arguments, advise
from training.plan.options import Options
from training.plan.page import page
from training.plan.plan import Plan, plan_run
from training.plan.stand_in import ModulesOnly, Read


def planned(sketch: ModulesOnly, read: Read, argv: Sequence[str], options: Options) -> str:
    """The page of a run.

    Args:
        sketch: of its command line.
        read: makes sketches of other command lines.
        argv: the run's own.
        options: device and utilisation.
    """
    plan = plan_run(sketch, read, options)

    def replan(more: Arguments) -> Plan:
        return plan_run(read([*argv, *more]), read, options, only_memory=True)

    return page(plan, None if plan.fits else advise(sketch, plan, replan))
