"""The whole run as one folder: a Workflow Run RO-Crate that others can read, check and cite.

It conforms to RO-Crate 1.1, Workflow RO-Crate 1.0, and Process, Workflow and Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/provenance/0.5).
"""

from cairn.provenance.crate.export import export_crate

__all__ = ["export_crate"]
