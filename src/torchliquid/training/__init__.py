"""A whole training in one call: `fit`, for a model or a pack of models.

By native kernels where every part has one (`torchliquid.kernels`), else by torch's autograd: the
same training, defined as a loop around `torch.optim.AdamW`.
"""

from torchliquid.training.history import History
from torchliquid.training.schedules import SCHEDULES, check_schedule, cycled
from torchliquid.training.trainer import Options, Trainer, fit

__all__ = ["SCHEDULES", "History", "Options", "Trainer", "check_schedule", "cycled", "fit"]
