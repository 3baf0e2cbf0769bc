"""From folders of DICOM files to a plain tree of scans, without the patient's identity."""
