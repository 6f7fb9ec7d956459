"""The one error type that users of torchliquid see."""


class TorchliquidError(ValueError):
    """A mistake that the caller can fix.

    The message says in one line what was given, what was expected and what to do.
    It is a ``ValueError``, so code that already catches those keeps working.
    """


class LongStepWarning(UserWarning):
    """A time step is longer than an explicit solver can take; it is cut by the solver's rule."""


class TimeUnitWarning(UserWarning):
    """Times between samples are a thousand times above or below all of a layer's time constants."""


class TrainingWarning(UserWarning):
    """A lane's loss is not finite, or a checkpoint cannot be written; the training goes on."""
