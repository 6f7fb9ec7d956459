"""The report: tables, figures and one HTML page, from the store and its summary alone.

Nothing is trained or measured here. `write_report` draws the figures, as files and into the page;
`terminal_tables` and `markdown_results` say the same numbers in a terminal and in a README.

    material  what the figures are drawn from: the runs of a store, the task, the summary
    style     colours, sizes, axes: what all figures share
    figures_* one file for each kind of figure; each returns a `Picture`, or says why there is none
    svg       makes a drawing part of a page: colours follow the page, ids stay unique
    numbers   how a number is written
    tables    the results and the claims as rows, for the terminal, Markdown and the page
    answer    the sentences at the top of the page
    conclusion  the last lines in a terminal
    page      puts it all together
    suite_*   the same for a whole suite, from its ``suite.json``
"""

from torchliquid.bench.report.conclusion import conclusion
from torchliquid.bench.report.page import write_report
from torchliquid.bench.report.suite_page import write_suite_report
from torchliquid.bench.report.tables import markdown_results, terminal_tables

__all__ = [
    "conclusion",
    "markdown_results",
    "terminal_tables",
    "write_report",
    "write_suite_report",
]
