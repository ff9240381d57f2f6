"""Commands and their options."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ppl_models.cli import bench, commands, experiments, listing
from ppl_models.errors import InputError

PROCESS = """\
Process-wide switches, set unless the environment has them: MPLBACKEND=Agg (no windows), and
JAX_NUM_CPU_DEVICES to all cores where a fit reads a large file. Compiled programs are kept in
ppl_models/jax of your cache folder, so that the second run of a program starts quickly; the folder
may be deleted at any time. PPL_MODELS_CACHE_DIR names another folder, or is "off"; where
JAX_COMPILATION_CACHE_DIR is set, JAX keeps them there. Warnings are shown as one line each.

Exit status: 0 done; 2 wrong input, with one sentence on standard error; 130 stopped by Ctrl-C;
1 a defect."""

PROGRAMS = "a built-in name (see ppl-models list), or path/to/file.py:function"
DATA = (
    "a CSV, TSV, Parquet, Feather or Excel file with a line of column names (cells between commas, "
    "tabs, or semicolons; see --separator); for programs over tokens a text file, one "
    "sequence a line, of characters or (fit --words) of what stands between spaces; for programs "
    "over graphs one graph6 a line, or a CSV file with a column 'graph' and two more, the ends of "
    "an edge"
)


class Parser(argparse.ArgumentParser):
    """A parser whose error message is one sentence."""

    def error(self, message: str) -> NoReturn:
        """End with the error message and exit status 2."""
        raise InputError(f"{message} (see {self.prog} --help)")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="ppl-models",
        description="Fit a probabilistic program to a file; report it, predict and generate "
        "from it.",
        epilog=PROCESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show where a defect arose")
    commands_of = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for add in (_list, _fit, _name, _report, _generate, _predict, _experiment, _bench):
        add(commands_of)
    return parser


def _command(commands_of: Any, name: str, what: str, run: Any) -> Parser:
    parser = commands_of.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _list(commands_of: Any) -> None:
    parser = _command(commands_of, "list", "List programs, methods and experiments.", listing.run)
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="show the arguments of this program or method instead",
    )


def _fit(commands_of: Any) -> None:
    parser = _command(commands_of, "fit", "Fit a program to data.", commands.fit)
    parser.add_argument("program", metavar="PROGRAM", help=PROGRAMS)
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument(
        "--clusters", type=int, metavar="K", help="number of clusters, the same as --set clusters=K"
    )
    parser.add_argument(
        "--method", default="nuts", metavar="M", help="see ppl-models list (default: nuts)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of all random numbers (default: 0)"
    )
    parser.add_argument("--out", required=True, metavar="FILE.nc", help="where the fit is written")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="any other argument of the program or the method (see ppl-models "
        "list NAME); VALUE is read as JSON, else as text; may be repeated",
    )
    _table_options(parser)
    parser.add_argument(
        "--words", action="store_true",
        help="tokens are what stands between spaces (default: every character); the fit's other "
        "commands then read and write words too",
    )  # fmt: skip
    parser.add_argument(
        "--unknown", metavar="TOKEN",
        help="a further token for all that are not in the data, or too rare for --min-count",
    )  # fmt: skip
    parser.add_argument(
        "--min-count", type=int, default=1, metavar="N",
        help="tokens seen less often than this become --unknown (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", metavar="COLUMN",
        help="the column that says how often each row counts (a table of patterns with counts)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="COLUMN",
        help="the column that says which cluster a row is of, empty where that is not known",
    )  # fmt: skip
    parser.add_argument(
        "--types", action="append", default=[], metavar="COLUMN=TYPE,...",
        help="of a program that takes columns of several types (mixed_mixture): what these columns "
        "are, if not what they look like: normal, poisson, categorical, bernoulli, or skip",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="COLUMN",
        help="the column that says which group each row is of: every group is fitted by itself, "
        "all of them in one run",
    )  # fmt: skip
    parser.add_argument(
        "--precision", default="float64", metavar="P", help="float64 (default) or float32"
    )
    parser.add_argument(
        "--devices", type=int, metavar="N",
        help="cores that share the rows of large data (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", metavar="FOLDER",
        help="where the method keeps its states (of map and svi a file); the same command goes on "
        "from there after it was ended, to the same result",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="of a Dask cluster, on whose workers the rows of DATA live (Parquet, CSV, .npy or "
        ".zarr, which every worker can read)",
    )  # fmt: skip
    _overwrite(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _name(commands_of: Any) -> None:
    parser = _command(
        commands_of, "name", "Give the clusters of a fit names, used everywhere.", commands.name
    )
    _fitted(parser)
    parser.add_argument(
        "names", metavar="NUMBER=NAME", nargs="*",
        help="as 0=short 1=long; a cluster left out keeps its number; none at all takes all names "
        "away",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE.nc", help="default: the fit itself is rewritten")
    _overwrite(parser)


def _report(commands_of: Any) -> None:
    parser = _command(
        commands_of, "report", "Write one self-contained HTML page about a fit.", commands.report
    )
    _fitted(parser)
    parser.add_argument("--out", metavar="FILE.html", help="default: beside the fit")
    parser.add_argument(
        "--interactive", action="store_true",
        help="plots answer to the mouse (needs the extra plotly); the page is five megabytes "
        "larger, and needs no network",
    )  # fmt: skip
    _overwrite(parser)


def _generate(commands_of: Any) -> None:
    parser = _command(
        commands_of, "generate", "Draw new rows, sequences or graphs from a fit.", commands.generate
    )
    _fitted(parser)
    parser.add_argument("--rows", type=int, required=True, metavar="N", help="how many")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the random numbers (default: 0)"
    )
    parser.add_argument(
        "--length", type=int, metavar="N",
        help="longest sequence (default: 100); most nodes of a graph (default: twice the fit's)",
    )  # fmt: skip
    parser.add_argument(
        "--prefix", metavar="TEXT", help="what sequences begin with; tokens between spaces"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="of tokens and edges; 0: the most probable",
    )
    parser.add_argument("--top-k", type=int, metavar="N", help="among so many most probable tokens")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="among the tokens that make up this probability"
    )
    parser.add_argument("--out", metavar="FILE.csv", help="default: standard output")
    _overwrite(parser)


def _predict(commands_of: Any) -> None:
    what = "Say which cluster each row of a file belongs to, or which hidden state each step."
    parser = _command(commands_of, "predict", what, commands.predict)
    _fitted(parser)
    parser.add_argument("data", metavar="DATA", help=DATA)
    _table_options(parser)
    parser.add_argument("--out", metavar="FILE.csv", help="default: standard output")
    _overwrite(parser)


def _experiment(commands_of: Any) -> None:
    parser = _command(
        commands_of, "experiment", "Answer one question, with a page of pictures.", experiments.run
    )
    parser.add_argument("name", metavar="NAME", help="see ppl-models list")
    parser.add_argument("--out", metavar="DIR", help="folder of its files (default: out/NAME)")
    parser.add_argument("--smoke", action="store_true", help="as small as it runs at all")
    _overwrite(parser)


def _bench(commands_of: Any) -> None:
    what = "Time an iteration of every kind on this computer's device, and compare precisions."
    parser = _command(commands_of, "bench", what, bench.run)
    parser.add_argument(
        "--device", action="store_true",
        help="on what JAX computes with by default: milliseconds an iteration, and the error of "
        "log-densities in single precision",
    )  # fmt: skip
    parser.add_argument("--small", action="store_true", help="small sizes, for a look")


def _fitted(parser: Parser) -> None:
    parser.add_argument("fitted", metavar="FILE.nc", help="what ppl-models fit wrote")


def _table_options(parser: Parser) -> None:
    parser.add_argument(
        "--separator", metavar="C",
        help="what stands between the cells of a table (default: what cuts all rows alike)",
    )  # fmt: skip
    parser.add_argument(
        "--decimal", metavar="C",
        help="the decimal mark, . or , (default: a comma where nothing else is possible)",
    )  # fmt: skip
    parser.add_argument(
        "--encoding", metavar="E",
        help="of a text file, as latin-1 (default: utf-8, and nothing else is tried)",
    )  # fmt: skip
    parser.add_argument(
        "--id", metavar="COLUMN", dest="index",
        help="the column of a table that labels its rows, and is no data",
    )  # fmt: skip
    parser.add_argument(
        "--drop", action="append", default=[], metavar="COLUMN",
        help="a column of a table that is left out; may be repeated",
    )  # fmt: skip


def _overwrite(parser: Parser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace output that exists (otherwise it is kept)"
    )
