"""The doctor diagnoses recordings and names remedies; see `examination.examine`."""
