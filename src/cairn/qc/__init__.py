"""Quality control: numbers of all sessions, flags, the comparison with the cohort's truth, one page for all."""
