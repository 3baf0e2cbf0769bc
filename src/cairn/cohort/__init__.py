"""The embedded cohort: donor heads out of pinned packages, and the clinic that scans their imagined relatives.

`fetch` archives, `donor` tissue models, `plan` who is scanned where, `anatomy` a subject's tissue map, `lesions`,
`cistern` and `malformation` what is found in it, `scanner` raw scans of it, `shard` the files. Nothing heavy is
imported here, so that planning stays cheap.
"""
