"""The embedded cohort: donor heads out of pinned packages, and the clinic that scans their imagined relatives.

`fetch` archives, `donor` tissue models, `plan` who is scanned where, `anatomy` and `lesions` a subject's tissue map,
`scanner` raw scans of it, `shard` the files. Nothing heavy is imported here, so that planning stays cheap.
"""
