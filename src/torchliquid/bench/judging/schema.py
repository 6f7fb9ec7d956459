"""The shape of ``summary.json``: what a benchmark found, in JSON types."""

from typing import Any, NotRequired, TypedDict, cast


class Quantiles(TypedDict):
    """Median, 10 % and 90 % quantile over lanes; None where it is not finite."""

    median: float | None
    q10: float | None
    q90: float | None


class ModelRow(TypedDict):
    """What became of one model. Errors are in the target's unit, squared for an MSE."""

    kind: str
    description: str
    parameters: int
    bytes: int
    lanes: int
    seconds_per_epoch: float | None
    seconds_alone: float | None
    seconds_evaluating: float | None
    learning_rate: Any
    dt: Any
    epochs: Any
    choice: dict[str, Any] | None
    notes: list[str]
    diverged: int
    untrained: int
    hopeless: int
    train_mse: Quantiles
    test_mse_reset: Quantiles
    test_mse_carry: Quantiles
    train_mse_clean: NotRequired[Quantiles]
    test_mse_reset_clean: NotRequired[Quantiles]
    test_mse_carry_clean: NotRequired[Quantiles]
    train_rmse: Quantiles
    test_rmse_reset: Quantiles
    test_rmse_carry: Quantiles
    skill_reset: NotRequired[Quantiles]
    skill_carry: NotRequired[Quantiles]


class Difference(TypedDict):
    """The ratio of two models' test MSEs, paired over lanes."""

    first: str
    second: str
    measure: str
    ratio: float | None
    interval: list[float | None]
    wins: float | None
    lanes: int


class SeriesRow(TypedDict):
    """Of several series, the errors on one that has a test stretch."""

    series: str
    targets: int
    test_rmse_carry: dict[str, float | None]


class Summary(TypedDict):
    """The content of ``summary.json``."""

    schema: int
    created: str
    task: dict[str, Any]
    models: dict[str, ModelRow]
    reference: str | None
    differences: list[Difference]
    series: list[SeriesRow]
    claims: list[dict[str, Any]]
    settled: list[dict[str, Any]]
    edge: dict[str, Any] | None
    training: list[dict[str, Any]]
    environment: dict[str, Any]


def measured(row: ModelRow, measure: str) -> Quantiles | None:
    """Return one measure of a model by its name, such as "test_mse_carry"; None if it has none."""
    return cast(Quantiles | None, row.get(measure))
