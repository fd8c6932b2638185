// SedimentDedup: placeholder until its first file lands.
