"""Any TR, TE and TI from scans of others: the contrast representation model."""
