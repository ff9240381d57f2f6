"""Which tests `make test` leaves to `make long`, chosen from their measured seconds.

Every file keeps its quick tests, the cheapest of its slow ones up to a budget, and the guards: the
one test of a feature that must not wait for `make long`. To choose anew:

    python -m pytest -n 2 --dist loadfile --cpu-seconds out/seconds.txt
    python tests/helpers/choose_long.py out/seconds.txt > tests/long_tests.txt
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

QUICK = 0.5  # CPU seconds under which a test is never left out
BUDGET = 0.7  # CPU seconds of slow tests that every file keeps,
FOR_EACH = 0.03  # and as many more for each of its tests
ONLY = 4.0  # CPU seconds up to which a file keeps its cheapest test whatever the budget

GUARDS = tuple(
    re.compile(pattern)
    for pattern in (
        r"^ppl_models/",  # examples in docstrings
        r"tests/test_(readme|contributing|imports|docstrings|tests)\.py::test_(?!the_program_in)",
        r"test_random_programs\.py::test_density_and_responsibilities$",
        r"test_fit_many\.py::test_a_group_is_what_fit",
        r"test_combined_sites\.py::test_density_and_predictions_by_hand",
        r"test_padding\.py::test_fit_and_predictions_with_missing",
        r"test_gibbs_blocks\.py::test_draws_over_blocks",
        r"test_known_components\.py::test_em_finds",
        r"test_rowwise\.py::test_em_ends",
        r"test_stochastic\.py::test_map_serves",
        r"test_mixed_mixture\.py::test_columns_are_told",
        r"test_student_t_mixture\.py::test_em_reaches",
        r"test_checkpoint\.py::.*\[(gibbs|memory)\]",
        r"test_row_weights\.py::test_gibbs_and_leave",
        r"test_jobs\.py::test_(classes_of_many|labels_of_a_poorer)",
        r"test_known_and_computed\.py::test_known_rows",
        r"test_calibration\.py::test_gibbs_is_calibrated",
        r"way_out_works",
        r"test_mclust\.py::test_likelihood_and_bic_of_iris\[VEV",
        r"test_local_sites\.py::test_log_likelihood",
        r"test_stochastic_em\.py::test_sorted_rows",
        r"test_row_order\.py::test_batches_do_not",
        r"test_new_family\.py::test_every_method",
        r"test_networks\.py::test_samplers_draw",
        r"test_labels_of_numbers\.py::test_every_number",
        r"test_row_deterministics\.py::test_effects",
        r"tests/test_cli\.py::test_fit_is_the_call",
        r"test_default_recovery\.py::test_default_fits_find_two_groups\[em",
        r"test_default_recovery\.py::test_many_clusters_of_sparse_bits",
        r"test_read_once\.py::test_to_fit\[em",
        r"test_nuts_and_exact\.py::test_nuts_agrees",
        r"test_diagnosis_draws\.py::test_good_fits",
        r"test_components\.py::test_an_idle",
        r"test_known_clusters\.py::test_labelled_rows",
        r"test_hard\.py::test_hard_clusters_of_hidden",
        r"test_cli_sequences\.py::test_predict_writes",
        r"test_experiments\.py::test_page_holds",
        r"test_noise\.py::",
        r"test_comparison\.py::test_held_out",
        r"test_scanned_paths\.py::test_after_a_fit",
        r"test_spread\.py::test_rows_on_workers",
        r"test_censored_mixture\.py::test_the_mode",
        r"test_blockwise\.py::test_em_over_blocks",
        r"test_chains_of_several\.py::.*\[factorial\]",
        r"test_extend\.py::test_gibbs_goes_on|test_row_latents\.py::test_em_integrates",
        r"test_units\.py::test_em_of_an_own|test_idioms\.py::",
        r"test_new_rows_must_fit|test_sites_of_any_name_get",
    )
)


def left_out(seconds: dict[str, float]) -> list[str]:
    """The tests, by their identifiers, that are left to ``make long``."""
    files: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for test, cost in seconds.items():
        files[test.partition("::")[0]].append((cost, test))
    late = []
    for tests in files.values():
        spent, selected = 0.0, 0
        budget = BUDGET + FOR_EACH * len(tests)
        for cost, test in sorted(tests):
            guard = any(pattern.search(test) for pattern in GUARDS)
            only = not selected and cost < ONLY
            if cost >= QUICK and not guard and not only and spent + cost > budget:
                late.append(test)
                continue
            selected += 1
            spent += cost if cost >= QUICK else 0.0
    return sorted(late)


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    costs = {test: float(cost) for cost, test in (line.split("\t", 1) for line in lines)}
    sys.stdout.write("\n".join(left_out(costs)) + "\n")
