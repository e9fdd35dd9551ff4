"""Right or wrong: the judge's numerics. Runs in the trusted process only; the candidate's sees inputs and nothing else.

Order of use: `load_task`, `check_task` (once a task), `plan_cases` (once a verdict, with a secret), then for each case
`reference` (skip it where `unusable`), `make_inputs` for the candidate, `compare`, and `to_feedback` for a finding.
"""
from common.judge.check.cases import Case, fresh_case
from common.judge.check.compare import Returned, compare, error_ratios
from common.judge.check.feedback import to_feedback
from common.judge.check.finding import Finding
from common.judge.check.inputs import CaseUnusable, build_model, draw_series, make_init_inputs, make_inputs
from common.judge.check.plain import doubtful
from common.judge.check.plan import plan_cases
from common.judge.check.policy import CheckPolicy, policy_for, set_backend_precision
from common.judge.check.reference import Expected, reference
from common.judge.check.structure import flatten, rebuild
from common.judge.check.task import TaskModule, TaskProblem, load_task
from common.judge.check.weak import check_task

__all__ = [
    "Case", "CaseUnusable", "CheckPolicy", "Expected", "Finding", "Returned", "TaskModule", "TaskProblem",
    "build_model", "check_task", "compare", "doubtful", "draw_series", "error_ratios", "flatten", "fresh_case",
    "load_task", "make_init_inputs", "make_inputs", "plan_cases", "policy_for", "rebuild", "reference",
    "set_backend_precision", "to_feedback",
]
